/* SPDX-License-Identifier: MIT
 *
 * Loading real files from a directory: what a good one becomes, and what is said of each kind of bad one. */
#include "../support/scratch.h"

#include "loading/load.h"
#include "script/version.h"

#include <errno.h>

struct fixture {
  struct scratch scratch;
  char routes[96];
  struct clock clock;
  struct log log;
  struct loader *loader;
  struct config config;
  struct loaded_routes loaded;
  struct fault_list faults; /* of the config */
};

static const char *in(struct fixture *fixture, const char *name) { return scratch_path(&fixture->scratch, name); }

static void write_file(struct fixture *fixture, const char *name, const char *text) {
  scratch_write(&fixture->scratch, name, text);
}

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  *state = fixture;
  scratch_init(&fixture->scratch);
  snprintf(fixture->routes, sizeof fixture->routes, "%s/routes", fixture->scratch.directory);
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  struct error error;
  fixture->loader = loader_new(&fixture->log, NULL, &error);
  if (!fixture->loader)
    fail_msg("%s", error.message);
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  loaded_routes_clear(&fixture->loaded);
  config_clear(&fixture->config);
  fault_list_clear(&fixture->faults);
  loader_free(fixture->loader);
  scratch_deinit(&fixture->scratch);
  free(fixture);
  return 0;
}

/* Reads moongate.lua of the directory, which is written when `text` is there. */
static int read_config(struct fixture *fixture, const char *text) {
  write_file(fixture, "moongate.lua", text ? text : "return {}");
  char path[128];
  snprintf(path, sizeof path, "%s/moongate.lua", fixture->scratch.directory);
  struct config_overrides overrides = {.config = path};
  config_clear(&fixture->config);
  fault_list_clear(&fixture->faults);
  return loader_read_config(fixture->loader, &overrides, &fixture->config, &fixture->faults);
}

static struct route_shared shared;

static void number_of(void *context, const char *name, unsigned *number, struct route_shared **place) {
  (void)name;
  *number = ++*(unsigned *)context;
  *place = &shared;
}

static int load(struct fixture *fixture, unsigned workers) {
  unsigned numbers = 0;
  if (!fixture->config.routes)
    assert_int_equal(read_config(fixture, NULL), 0);
  loaded_routes_clear(&fixture->loaded);
  return loader_load_routes(fixture->loader, &fixture->config, workers, number_of, &numbers, &fixture->loaded);
}

static void print_faults(const struct fault_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    char text[1024];
    fault_format(&list->faults[i], text, sizeof text);
    print_message("  %s\n", text);
  }
}

static const struct fault *only_fault(const struct fault_list *list) {
  if (list->count != 1)
    print_faults(list);
  assert_int_equal(list->count, 1);
  return &list->faults[0];
}

static void assert_contains(const char *text, const char *part) {
  if (!strstr(text, part))
    fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* Loads one file that is to have one fault, in `field`, with `message` in it. */
static const struct fault *bad_file(struct fixture *fixture, const char *text, const char *field, const char *message) {
  write_file(fixture, "routes/bad.lua", text);
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_contains(fault->file, "/routes/bad.lua");
  assert_string_equal(fault->field, field);
  assert_contains(fault->message, message);
  assert_false(fixture->loaded.files[0].ok);
  assert_int_equal(fixture->loaded.files[0].route_count, 0);
  assert_null(fixture->loaded.files[0].version);
  return fault;
}

static const struct route *route_at(const struct fixture *fixture, size_t file, size_t index) {
  print_faults(&fixture->loaded.faults);
  assert_true(file < fixture->loaded.file_count);
  assert_true(index < fixture->loaded.files[file].route_count);
  return fixture->loaded.files[file].routes[index];
}

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

static void a_file_that_differs_each_time_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  char text[512];
  snprintf(text, sizeof text,
           "local name = io.open('%s/marker', 'r') and 'b' or 'a'\n"
           "io.open('%s/marker', 'w'):close()\n"
           "return { name = name, match = { ports = 1 }, action = { handler = function() end } }",
           fixture->scratch.directory, fixture->scratch.directory);
  write_file(fixture, "routes/bad.lua", text);
  assert_int_equal(load(fixture, 2), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_string_equal(fault->route, "a");
  assert_string_equal(fault->field, "action.handler");
  assert_contains(fault->message, "behaves differently each time");
  assert_null(fixture->loaded.files[0].version);
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

static void syntax_and_runtime_errors_name_their_line(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault = bad_file(fixture, "return {\n  name = 'x'\n  match = {}\n}", "", "near 'match'");
  assert_int_equal(fault->line, 3);
  fault = bad_file(fixture, "local t\n\nlocal x = t.y\nreturn {}", "", "attempt to index local 't'");
  assert_int_equal(fault->line, 3);
  assert_null(strstr(fault->message, "traceback"));
  fault = bad_file(fixture, "\nerror('no database')", "", "no database");
  assert_int_equal(fault->line, 2);
  assert_string_equal(fault->message, "no database");
  fault = bad_file(fixture, "error({})", "", "");
  assert_true(fault->message[0] != '\0');
  write_file(fixture, "helper.lua", "local helper = {}\nfunction helper.fail() error('deep') end\nreturn helper");
  fault = bad_file(fixture, "local h = require('helper')\n\nh.fail()", "", "helper.lua:2: deep");
  assert_int_equal(fault->line, 3);
}

static void a_file_that_loops_is_stopped_where_it_loops(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { limits = { script_time = '50ms' } }"), 0);
  const struct fault *fault = bad_file(fixture, "local x = 0\nwhile true do\n  x = x + 1\nend", "", "script_time");
  assert_in_range(fault->line, 2, 3);
}

static void a_file_that_takes_all_memory_is_stopped(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { limits = { script_memory = '4m' } }"), 0);
  bad_file(fixture, "local t = {}\nfor i = 1, 1e9 do t[i] = 'x' .. i end", "", "script_memory");
}

static void wrong_return_values_are_faults(void **state) {
  struct fixture *fixture = *state;
  bad_file(fixture, "", "", "got nothing (it ends with: return { … })");
  bad_file(fixture, "return 7", "", "got 7");
  bad_file(fixture, "return function() end", "", "got a function");
  bad_file(fixture, "return { 'x' }", "", "expected a route (a table), got \"x\"");
  bad_file(fixture, "return { { match = { ports = 1 }, action = { target = 'a:1' } }, name = 'x' }", "", "but both");
  bad_file(fixture, "local t = { match = { ports = 1 }, action = { target = 'a:1' } } t.match.when = t return t",
           "match.when", "refers to itself");
  bad_file(fixture, "local t = {} for i = 1, 29 do t = { x = t } end return { { { { t } } } }",
           "[1][1][1][1].x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x", "levels deep");
  bad_file(fixture, "return { [{}] = 1, name = 'x' }", "", "has a key that is neither a string nor a number");
}

static void no_metamethod_of_the_users_is_called(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua",
             "local function never() error('called') end\n"
             "return setmetatable({ match = { ports = 1 }, action = setmetatable({ target = 'a:1' }, { __index = "
             "never, __pairs = "
             "never, __len = never }) }, { __index = never, __eq = never, __tostring = never })");
  assert_int_equal(load(fixture, 2), 0);
  assert_int_equal(fixture->loaded.files[0].route_count, 1);
}

static void faults_name_route_and_field_and_all_are_collected(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/bad.lua",
             "return { { name = 'a', match = { port = 1 }, action = { target = '127.0.0.1' } },\n"
             "  { name = 'b', match = { ports = 70000, address = '1.2.3.400' }, action = { hadler = 1 } } }");
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault_list *faults = &fixture->loaded.faults;
  static const char *const expected[][3] = {
      {"a", "action.target", "expected \"host:port\", got \"127.0.0.1\" (add \":80\")"},
      {"a", "match.port", "did you mean \"ports\"?"},
      {"b", "action.hadler", "did you mean \"handler\"?"},
      {"b", "match.ports", "70000"},
  };
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    bool found = false;
    for (size_t k = 0; k < faults->count && !found; k++)
      found = strcmp(faults->faults[k].route, expected[i][0]) == 0 &&
              strcmp(faults->faults[k].field, expected[i][1]) == 0 && strstr(faults->faults[k].message, expected[i][2]);
    if (!found) {
      print_faults(faults);
      fail_msg("no fault: %s: %s", expected[i][1], expected[i][2]);
    }
  }
  assert_int_equal(faults->count, sizeof expected / sizeof expected[0]);
}

static void an_address_that_is_none_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault =
      bad_file(fixture, "return {\n match = { ports = 1,\n  address = '1.2.3.400' }, action = { target = 'a:1' } }",
               "match.address", "1.2.3.400");
  assert_int_equal(fault->line, 3);
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

static void an_address_of_clients_that_is_none_is_a_fault(void **state) {
  struct fixture *fixture = *state;
  const struct fault *fault =
      bad_file(fixture, "return { match = { ports = 1,\n client_ip = '10.0.0.0/33' }, action = { target = 'a:1' } }",
               "match.client_ip", "10.0.0.0/33");
  assert_int_equal(fault->line, 2);
}

static void a_name_that_stands_twice_names_both_places(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { name = 'x', match = { ports = 1 }, action = { target = 'a:1' } }");
  write_file(fixture, "routes/b.lua",
             "return { { name = 'y', match = { ports = 1 }, action = { target = 'a:1' } },\n"
             " { name = 'x', match = { ports = 1 }, action = { target = 'a:1' } } }");
  assert_int_equal(load(fixture, 1), -EINVAL);
  const struct fault *fault = only_fault(&fixture->loaded.faults);
  assert_contains(fault->file, "b.lua");
  assert_string_equal(fault->field, "name");
  assert_contains(fault->message, "routes/a.lua");
  assert_true(fixture->loaded.files[0].ok);
  assert_false(fixture->loaded.files[1].ok);
  assert_int_equal(fixture->loaded.files[0].route_count, 1);
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

static void files_that_cant_be_read_are_faults(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(mkdir(in(fixture, "routes/bad.lua"), 0700), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "not a regular file");
  rmdir(in(fixture, "routes/bad.lua"));
  assert_int_equal(symlink("nowhere", in(fixture, "routes/bad.lua")), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "links to nowhere: there is no nowhere");
  unlink(in(fixture, "routes/bad.lua"));
  write_file(fixture, "routes/bad.lua", "");
  assert_int_equal(truncate(in(fixture, "routes/bad.lua"), 8 * 1024 * 1024 + 1), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "larger than 8 MiB");
  scratch_write_bytes(&fixture->scratch, "routes/bad.lua", "\x1bLJ\x02", 4);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "bytecode");
}

static void a_missing_directory_says_what_to_do_and_an_empty_one_warns(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(load(fixture, 1), 0);
  assert_int_equal(fixture->loaded.faults.count, 0);
  assert_contains(only_fault(&fixture->loaded.warnings)->message, "nothing is served");
  assert_int_equal(rmdir(fixture->routes), 0);
  assert_int_equal(load(fixture, 1), -EINVAL);
  assert_contains(only_fault(&fixture->loaded.faults)->message, "--routes");
}

static void the_config_has_every_default_and_resolves_places(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(read_config(fixture, "return { state = 'state', workers = 3 }"), 0);
  const struct config *config = &fixture->config;
  assert_string_equal(config->routes, fixture->routes);
  assert_int_equal(config->workers, 3);
  assert_string_equal(config->admin_listen, "127.0.0.1:9090");
  assert_null(config->admin_token);
  char state_directory[96];
  snprintf(state_directory, sizeof state_directory, "%s/state", fixture->scratch.directory);
  assert_string_equal(config->state, state_directory);
  assert_int_equal(config->log_level, LOG_INFO);
  assert_int_equal(config->log_format, LOG_LOGFMT);
  assert_int_equal(config->timeouts.idle, 4 * 3600 * 1000);
  assert_int_equal(config->timeouts.stuck_tls, 300 * 1000);
  assert_true(config->settings.tcp.no_delay);
  assert_int_equal(config->settings.tcp.probe_after_s, 600);
  assert_int_equal(config->settings.script_time_ms, 1000);
  assert_int_equal(config->settings.script_memory, 256 * 1024 * 1024);
  assert_int_equal(config->settings.splice_pipes, 85);
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
          "script = { jit = 'fast.lua' }, metrics = { top_ips = 7 } }"),
      0);
  const struct config *config = &fixture->config;
  assert_string_equal(config->routes, "/elsewhere");
  assert_null(config->admin_listen);
  assert_string_equal(config->admin_token, "secret");
  assert_string_equal(config->control, "/c.sock");
  assert_int_equal(config->log_level, LOG_DEBUG);
  assert_int_equal(config->log_format, LOG_JSON);
  assert_string_equal(config->settings.dns.servers, "192.0.2.1,192.0.2.2:53");
  assert_in_range(config->workers, 1, 256);
  assert_int_equal(config->jit_file_count, 1);
  const struct fault *warning = only_fault(&config->warnings);
  assert_string_equal(warning->field, "metrics.top_ips");
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

static void many_files_leave_nothing_behind_in_the_loader(void **state) {
  struct fixture *fixture = *state;
  write_file(fixture, "routes/a.lua", "return { match = { ports = 1 }, action = { handler = function() end } }");
  write_file(fixture, "routes/b.lua", "error('no')");
  for (int i = 0; i < 50; i++)
    assert_int_equal(load(fixture, 2), -EINVAL);
  assert_int_equal(fixture->loaded.faults.count, 1);
}

static void a_fault_reads_from_its_place_to_its_message(void **state) {
  (void)state;
  struct fault fault = {.file = "routes/a.lua", .line = 3, .route = "api", .field = "match.ports", .message = "bad"};
  char text[128];
  fault_format(&fault, text, sizeof text);
  assert_string_equal(text, "routes/a.lua:3: route \"api\": match.ports: bad");
  fault.line = 0;
  fault.route = fault.field = "";
  fault_format(&fault, text, sizeof text);
  assert_string_equal(text, "routes/a.lua: bad");
  fault_format(&fault, text, 9);
  assert_string_equal(text, "routes/a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_plain_route_becomes_a_record_with_every_default),
      TEST(what_a_route_asks_of_tls_is_in_its_record),
      TEST(routes_of_several_files_that_name_one_domain_are_told),
      TEST(a_route_takes_its_timeouts_from_the_config),
      TEST(weights_shape_the_rotation),
      TEST(ports_are_kept_mapped_or_asked_for),
      TEST(each_worker_has_its_own_state_and_functions_found_by_key),
      TEST(a_file_that_differs_each_time_is_a_fault),
      TEST(checking_makes_no_states),
      TEST(a_disabled_route_is_checked_and_left_out),
      TEST(syntax_and_runtime_errors_name_their_line),
      TEST(a_file_that_loops_is_stopped_where_it_loops),
      TEST(a_file_that_takes_all_memory_is_stopped),
      TEST(wrong_return_values_are_faults),
      TEST(no_metamethod_of_the_users_is_called),
      TEST(faults_name_route_and_field_and_all_are_collected),
      TEST(an_address_that_is_none_is_a_fault),
      TEST(addresses_of_clients_are_a_set),
      TEST(an_address_of_clients_that_is_none_is_a_fault),
      TEST(a_name_that_stands_twice_names_both_places),
      TEST(files_are_taken_in_the_order_of_their_names_without_backups),
      TEST(files_that_cant_be_read_are_faults),
      TEST(a_missing_directory_says_what_to_do_and_an_empty_one_warns),
      TEST(the_config_has_every_default_and_resolves_places),
      TEST(the_config_is_taken_as_it_is_written),
      TEST(overrides_take_the_place_of_the_config),
      TEST(a_bad_config_is_a_fault),
      TEST(many_files_leave_nothing_behind_in_the_loader),
      cmocka_unit_test(a_fault_reads_from_its_place_to_its_message),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
