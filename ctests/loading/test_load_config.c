/* SPDX-License-Identifier: MIT
 *
 * Reading the config: its defaults, what it says, and what the command line says instead. */
#include "directory_fixture.h"

static void the_config_has_every_default_and_resolves_places(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { state = 'state', workers = 3 }"), 0);
  const struct config *config = &fixture->config;
  assert_string_equal(config->routes, fixture->routes);
  assert_int_equal(config->workers, 3);
  assert_string_equal(config->admin.listen, "127.0.0.1:9090");
  assert_null(config->admin.token);
  char state_directory[96];
  snprintf(state_directory, sizeof state_directory, "%s/state", fixture->scratch.directory);
  assert_string_equal(config->state, state_directory);
  assert_int_equal(config->log.level, LOG_INFO);
  assert_int_equal(config->log.format, LOG_LOGFMT);
  assert_int_equal(config->timeouts.idle, 4 * 3600 * 1000);
  assert_int_equal(config->timeouts.stuck_tls, 300 * 1000);
  assert_true(config->settings.tcp.no_delay);
  assert_int_equal(config->settings.tcp.probe_after_ms, 600 * 1000);
  assert_int_equal(config->settings.script_time_ms, 1000);
  assert_int_equal(config->settings.script_memory, 256 * 1024 * 1024);
  assert_int_equal(config->settings.splice_pipes, 256);
  assert_int_equal(config->settings.dns.timeout_ms, 2000);
  assert_null(config->settings.dns.servers);
  assert_int_equal(config->warnings.count, 0);
}

static void the_config_is_taken_as_it_is_written(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(
      read_config(
          fixture,
          "return { routes = '/elsewhere', admin = { listen = false, token = 'secret' }, log = { level = 'debug', "
          "format = 'json' }, dns = { servers = { '192.0.2.1', '192.0.2.2:53' } }, control = '/c.sock',\n"
          "script = { jit = 'fast.lua' }, metrics = { percentiles = false } }"),
      0);
  const struct config *config = &fixture->config;
  assert_string_equal(config->routes, "/elsewhere");
  assert_null(config->admin.listen);
  assert_string_equal(config->admin.token, "secret");
  assert_string_equal(config->control, "/c.sock");
  assert_int_equal(config->log.level, LOG_DEBUG);
  assert_int_equal(config->log.format, LOG_JSON);
  assert_string_equal(config->settings.dns.servers, "192.0.2.1,192.0.2.2:53");
  assert_in_range(config->workers, 1, 256);
  assert_int_equal(config->jit_file_count, 1);
  const struct fault *warning = only_fault(&config->warnings);
  assert_string_equal(warning->field, "metrics.percentiles");
  assert_contains(warning->message, "no effect in this version");
}

static void overrides_take_the_place_of_the_config(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "moongate.lua", "return { workers = 2, routes = 'x' }");
  struct config_overrides overrides = {.config = in(fixture, "moongate.lua"), .routes = "mine", .workers = 5};
  assert_int_equal(loader_read_config(fixture->loader, &overrides, &fixture->config, &fixture->faults), 0);
  assert_string_equal(fixture->config.routes, "mine");
  assert_int_equal(fixture->config.workers, 5);
}

static void a_bad_config_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { worker = 1 }"), -EINVAL);
  assert_contains(only_fault(&fixture->faults)->message, "did you mean \"workers\"?");
  assert_int_equal(read_config(fixture, "return { workers = function() end }"), -EINVAL);
  assert_contains(only_fault(&fixture->faults)->message, "got a function");
  assert_int_equal(read_config(fixture, "local x = 1"), -EINVAL);
  assert_contains(only_fault(&fixture->faults)->message, "returns nothing");
  assert_int_equal(read_config(fixture, "return {\n  workers = = 1 }"), -EINVAL);
  assert_int_equal(only_fault(&fixture->faults)->line, 2);
  assert_int_equal(read_config(fixture, "return { security = { ip_block = '10.0.0.0/33' } }"), -EINVAL);
  assert_string_equal(only_fault(&fixture->faults)->field, "security.ip_block");
  fault_list_clear(&fixture->faults);
  struct config_overrides overrides = {.config = in(fixture, "absent.lua")};
  assert_int_equal(loader_read_config(fixture->loader, &overrides, &fixture->config, &fixture->faults), -EINVAL);
  assert_contains(only_fault(&fixture->faults)->message, "No such file");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_config_has_every_default_and_resolves_places),
      TEST(the_config_is_taken_as_it_is_written),
      TEST(overrides_take_the_place_of_the_config),
      TEST(a_bad_config_is_a_fault),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
