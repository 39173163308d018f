/* SPDX-License-Identifier: MIT
 *
 * Loading real files from a directory: what a good one becomes. */
#include "directory_fixture.h"

static void a_plain_route_becomes_a_record_with_every_default(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "return { name = 'api', match = { ports = { 443, '8000-8010', { from = 80, to = 81 } }, address = '::1' },\n"
      "  action = { target = '[::1]:8080' }, timeouts = { idle = '90s', half_dead = { tls = '1m' } }, priority = -3 }");
  assert_int_equal(load(fixture, 2), 0);
  const struct route *route = route_at(fixture, 0, 0);
  assert_string_equal(route->name, "api");
  assert_string_equal(route->file, "a.lua");
  assert_int_equal(route->priority, -3);
  assert_int_equal(route->stats, 1);
  assert_ptr_equal(route->shared, &shared);
  char text[ENDPOINT_TEXT_SIZE];
  assert_string_equal(endpoint_format(&route->address, text), "[::1]:0");
  assert_int_equal(route->port_count, 3);
  assert_int_equal(route->ports[0].from, 80);
  assert_int_equal(route->ports[0].to, 81);
  assert_int_equal(route->ports[1].from, 443);
  assert_int_equal(route->ports[2].from, 8000);
  assert_int_equal(route->ports[2].to, 8010);
  assert_int_equal(route->action, ROUTE_FORWARD);
  assert_int_equal(route->target_count, 1);
  assert_string_equal(route->targets[0].host, "::1");
  assert_true(ip_address_is_loopback(&route->targets[0].address)); /* no connection has to parse it */
  assert_int_equal(route->targets[0].port, 8080);
  assert_int_equal(route->targets[0].weight, 1);
  assert_int_equal(route->targets[0].host_function, ROUTE_NO_FUNCTION);
  assert_int_equal(route->when_function, ROUTE_NO_FUNCTION);
  assert_int_equal(route->timeouts.idle, 90000);
  assert_int_equal(route->timeouts.connect, 30000);
  assert_int_equal(route->timeouts.half_dead, 30000);
  assert_int_equal(route->timeouts.half_dead_tls, 60000);
  assert_null(fixture->loaded.files[0].version);
  assert_null(route->script);
}

static void what_a_route_asks_of_tls_is_in_its_record(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "return { { match = { ports = 443, domains = { '*.Example', 'a.example.' }, tls_version = { '1.2', '1.3' } "
      "},\n  action = { target = 'a:1', tls = { mode = 'passthrough' } } },\n"
      "  { match = { ports = 444 }, action = { target = 'a:1' } } }");
  assert_int_equal(load(fixture, 1), 0);
  const struct route *route = route_at(fixture, 0, 0), *plain = route_at(fixture, 0, 1);
  assert_int_equal(route->domain_count, 2);
  assert_string_equal(route->domains[0], "*.example");
  assert_string_equal(route->domains[1], "a.example");
  assert_int_equal(route->tls_versions, TLS_1_2 | TLS_1_3);
  assert_int_equal(route->tls, ROUTE_TLS_PASSTHROUGH);
  assert_int_equal(plain->domain_count, 0);
  assert_int_equal(plain->tls_versions, 0);
  assert_int_equal(plain->tls, ROUTE_TLS_NONE);
}

static void routes_of_several_files_that_name_one_domain_are_told(void **state) {
  struct fixture *fixture = *state;
  static const char *const domains[] = {"a.example", "x.example", "a.example"};
  for (int i = 0; i < 3; i++) {
    char name[32], source[256];
    snprintf(name, sizeof name, "routes/%d.lua", i);
    snprintf(source, sizeof source,
             "return { match = { ports = 443, domains = { '%s', 'b%d.example' } },\n"
             "  action = { target = 'a:1', tls = { mode = 'passthrough' } } }",
             domains[i], i);
    write_file(fixture, name, source);
  }
  assert_int_equal(load(fixture, 1), 0);
  assert_int_equal(fixture->loaded.warnings.count, 1);
  const struct fault *warning = &fixture->loaded.warnings.faults[0];
  assert_contains(warning->file, "/routes/2.lua");
  assert_string_equal(warning->field, "match.domains");
  assert_contains(warning->message, "\"a.example\" on port 443 is taken by the route \"0.lua#1\" in ");
  assert_contains(warning->message, "/routes/0.lua:1, which");
}

static void a_route_takes_its_timeouts_from_the_config(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(
      read_config(fixture, "return { timeouts = { connect = 2, stuck = { '7s', tls = '9s' }, lifetime = 0 } }"), 0);
  write_file(
      fixture, "routes/a.lua",
      "return { match = { ports = 0 }, action = { target = 'unix:/run/x.sock' }, timeouts = { stuck = { '8s' } } }");
  assert_int_equal(load(fixture, 1), 0);
  const struct route *route = route_at(fixture, 0, 0);
  assert_string_equal(route->name, "a.lua#1");
  assert_int_equal(route->timeouts.connect, 2000);
  assert_int_equal(route->timeouts.lifetime, 0);
  assert_int_equal(route->timeouts.stuck, 8000);
  assert_int_equal(route->timeouts.stuck_tls, 9000);
  assert_int_equal(route->port_count, 1);
  assert_int_equal(route->ports[0].from, 0);
  assert_string_equal(route->targets[0].host, "unix:/run/x.sock");
}

static void weights_shape_the_rotation(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "return { match = { ports = 1 }, action = { targets = { { host = 'a', port = 80, weight = 3 }, 'b:81' } } }");
  assert_int_equal(load(fixture, 1), 0);
  const struct route *route = route_at(fixture, 0, 0);
  assert_int_equal(route->target_count, 2);
  assert_int_equal(route->targets[0].weight, 3);
  assert_string_equal(route->targets[1].host, "b");
  assert_int_equal(route->targets[1].port, 81);
  assert_int_equal(route->rotation_length, 4);
}

static void ports_are_kept_mapped_or_asked_for(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "local function port() return 7 end\n"
      "return {\n"
      "  { name = 'same', match = { ports = 1 }, action = { target = { host = 'a', port = 'preserve' } } },\n"
      "  { name = 'mapped', match = { ports = 2 }, action = { target = 'a', port = port } },\n"
      "  { name = 'hosts', match = { ports = 3 }, action = { target = { host = { 'a', 'b' }, port = port } } },\n"
      "  { name = 'asked', match = { ports = 4 }, action = { target = { host = function() end, port = 9 } } },\n"
      "  { name = 'target', match = { ports = 5, when = port }, action = { target = port } },\n"
      "}");
  assert_int_equal(load(fixture, 1), 0);
  assert_true(route_at(fixture, 0, 0)->targets[0].preserve_port);
  const struct route *mapped = route_at(fixture, 0, 1), *hosts = route_at(fixture, 0, 2),
                     *asked = route_at(fixture, 0, 3), *target = route_at(fixture, 0, 4);
  const struct script_version *version = fixture->loaded.files[0].version;
  assert_string_equal(version->functions[mapped->targets[0].port_function].field, "action.port");
  assert_int_equal(hosts->target_count, 2);
  assert_string_equal(version->functions[hosts->targets[1].port_function].field, "action.target.port");
  assert_null(asked->targets[0].host);
  assert_string_equal(version->functions[asked->targets[0].host_function].field, "action.target.host");
  assert_int_equal(asked->targets[0].port, 9);
  assert_int_equal(target->target_count, 0);
  assert_string_equal(version->functions[target->target_function].field, "action.target");
  assert_string_equal(version->functions[target->when_function].route, "target");
  assert_ptr_equal(target->script, version);
}

/* What function `slot` returns in the state of `worker`. */
static int call(struct script_version *version, unsigned worker, int slot) {
  struct script_state *script = version->states[worker - 1];
  struct error error;
  script_version_push(version, worker, slot, script->L);
  if (script_call(script, script->L, 0, 1, &error) < 0)
    fail_msg("%s", error.message);
  int result = (int)lua_tointeger(script->L, -1);
  lua_pop(script->L, 1);
  return result;
}

static void each_worker_has_its_own_state_and_functions_found_by_key(void **state) {
  struct fixture *fixture = *state;
  /* In a changing order, as pairs() may give it. */
  write_file(
      fixture, "routes/a.lua",
      "local count = 0\n"
      "local function route(name, number)\n"
      "  return { name = name, match = { ports = number }, action = { handler = function() count = count + 1 return "
      "number * 100 + count end } }\n"
      "end\n"
      "local marker = io.open(MARKER, 'r')\n"
      "if marker then marker:close() return { route('two', 2), route('one', 1) } end\n"
      "io.open(MARKER, 'w'):close()\n"
      "return { route('one', 1), { match = { ports = 3 }, action = { target = 'a:1' } }, route('two', 2) }\n");
  char text[2048], marker[96];
  snprintf(marker, sizeof marker, "%s/marker", fixture->scratch.directory);
  FILE *file = fopen(in(fixture, "routes/a.lua"), "r+");
  assert_non_null(file);
  int length = snprintf(text, sizeof text, "local MARKER = '%s'\n", marker);
  size_t more = fread(text + length, 1, sizeof text - (size_t)length - 1, file);
  rewind(file);
  fwrite(text, 1, (size_t)length + more, file);
  fclose(file);

  assert_int_equal(load(fixture, 3), 0);
  struct script_version *version = fixture->loaded.files[0].version;
  assert_non_null(version);
  assert_int_equal(version->state_count, 3);
  int one = route_at(fixture, 0, 0)->handler_function, two = route_at(fixture, 0, 2)->handler_function;
  for (unsigned worker = 1; worker <= 3; worker++) {
    assert_ptr_equal(version->states[worker - 1]->version, version);
    assert_int_equal(call(version, worker, one), 101);
    assert_int_equal(call(version, worker, two), 202);
    assert_int_equal(call(version, worker, one), 103);
  }
}

static void checking_makes_no_states(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { match = { ports = 1 }, action = { handler = function() end } }");
  assert_int_equal(load(fixture, 0), 0);
  assert_null(fixture->loaded.files[0].version);
  assert_int_equal(route_at(fixture, 0, 0)->action, ROUTE_HANDLER);
}

static void a_disabled_route_is_checked_and_left_out(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua",
             "return { { name = 'x', enabled = false, match = { ports = 1 }, action = { handler = function() end } },\n"
             "  { name = 'x', match = { ports = 2 }, action = { handler = function() return 2 end } } }");
  assert_int_equal(load(fixture, 2), 0);
  assert_int_equal(fixture->loaded.files[0].route_count, 1);
  assert_int_equal(fixture->loaded.files[0].version->function_count, 1);
  assert_int_equal(call(fixture->loaded.files[0].version, 2, 0), 2);
  write_file(fixture, "routes/a.lua",
             "return { enabled = false, match = { ports = 'x' }, action = { target = 'a:1' } }");
  assert_int_equal(load(fixture, 0), -EINVAL);
  assert_string_equal(only_fault(&fixture->loaded.faults)->field, "match.ports");
}

static void addresses_of_clients_are_a_set(void **state) {
  struct fixture *fixture = *state;
  write_file(
      fixture, "routes/a.lua",
      "return { match = { ports = 1, client_ip = { '10.0.0.0/8', '192.168.1.*' } }, action = { target = 'a:1' } }");
  assert_int_equal(load(fixture, 1), 0);
  const struct route *route = route_at(fixture, 0, 0);
  assert_non_null(route->client_ips);
  assert_int_equal(ip_set_count(route->client_ips), 2);
  assert_string_equal(ip_set_text(route->client_ips, 1), "192.168.1.*");
}

static void files_are_taken_in_the_order_of_their_names_without_backups(void **state) {
  struct fixture *fixture = *state;
  static const char *const names[] = {"routes/b.lua", "routes/a.lua", "routes/B.lua"};
  for (size_t i = 0; i < 3; i++)
    write_file(fixture, names[i], "return { match = { ports = 1 }, action = { target = 'a:1' } }");
  static const char *const others[] = {"routes/a.lua~", "routes/.a.lua", "routes/#a.lua#", "routes/.#a.lua",
                                       "routes/a.txt"};
  for (size_t i = 0; i < 5; i++)
    write_file(fixture, others[i], "this is no Lua");
  assert_int_equal(load(fixture, 1), 0);
  assert_int_equal(fixture->loaded.file_count, 3);
  assert_string_equal(fixture->loaded.files[0].file, "B.lua");
  assert_string_equal(fixture->loaded.files[1].file, "a.lua");
  assert_string_equal(fixture->loaded.files[2].file, "b.lua");
}

static void many_files_leave_nothing_behind_in_the_loader(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { match = { ports = 1 }, action = { handler = function() end } }");
  write_file(fixture, "routes/b.lua", "error('no')");
  for (int i = 0; i < 50; i++)
    assert_int_equal(load(fixture, 2), -EINVAL);
  assert_int_equal(fixture->loaded.faults.count, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_plain_route_becomes_a_record_with_every_default),
      TEST(what_a_route_asks_of_tls_is_in_its_record),
      TEST(routes_of_several_files_that_name_one_domain_are_told),
      TEST(a_route_takes_its_timeouts_from_the_config),
      TEST(weights_shape_the_rotation),
      TEST(ports_are_kept_mapped_or_asked_for),
      TEST(each_worker_has_its_own_state_and_functions_found_by_key),
      TEST(checking_makes_no_states),
      TEST(a_disabled_route_is_checked_and_left_out),
      TEST(addresses_of_clients_are_a_set),
      TEST(files_are_taken_in_the_order_of_their_names_without_backups),
      TEST(many_files_leave_nothing_behind_in_the_loader),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
