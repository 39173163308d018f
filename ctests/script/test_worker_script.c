/* SPDX-License-Identifier: MIT
 *
 * Handlers and functions of real route files on a real worker, whose clients are socket pairs: what they see, how they
 * end, and that nothing is left of them. */
#include "../support/scaling.h"
#include "../support/serving_fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

static const uint64_t SECOND = 1000000000;

struct fixture {
  struct serving serving;
  int client;
};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  serving_init(&fixture->serving, STDERR_FILENO);
  fixture->serving.log.level = LOG_OFF;
  fixture->client = -1;
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  if (fixture->client >= 0)
    close(fixture->client);
  serving_deinit(&fixture->serving);
  free(fixture);
  return 0;
}

/* A worker that serves one route: `route` is its table's content, without name and match. */
static void serve(struct fixture *fixture, const char *route) {
  char text[4096];
  snprintf(text, sizeof text, "return { name = 'tested', match = { ports = 0 }, %s }", route);
  serving_start(&fixture->serving, text);
}

static void client_connects(struct fixture *fixture) {
  int fds[2];
  struct sockaddr peer = {.sa_family = AF_UNIX};
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  if (fixture->client >= 0)
    close(fixture->client);
  fixture->client = fds[0];
  connection_accept(&fixture->serving.worker, &fixture->serving.table->ports[0], 1234, fds[1], &peer);
}

static void client_sends(struct fixture *fixture, const char *text) {
  assert_int_equal(strlen(text), write(fixture->client, text, strlen(text)));
}

/* What the client gets until its end; then nothing of the connection is left. */
static void expect_answer(struct fixture *fixture, const char *expected) {
  char text[4096];
  size_t size = 0;
  for (;;) {
    ssize_t got = read(fixture->client, text + size, sizeof text - 1 - size);
    if (got == 0)
      break;
    if (got < 0 && errno != EAGAIN)
      break;
    size += got > 0 ? (size_t)got : 0;
    if (got < 0)
      loop_round(&fixture->serving.worker.loop, false);
  }
  text[size] = '\0';
  assert_string_equal(expected, text);
  close(fixture->client);
  fixture->client = -1;
  while (fixture->serving.worker.connection_count > 0)
    loop_round(&fixture->serving.worker.loop, false);
  loop_round(&fixture->serving.worker.loop, false);
}

static const uint64_t *terminations(const struct fixture *fixture) {
  return fixture->serving.worker.metrics->worker.terminations[PIPE_CLIENT];
}

static uint64_t handler_errors(const struct fixture *fixture) {
  return fixture->serving.worker.metrics->worker.errors[ERROR_HANDLER];
}

static void a_handler_speaks_first_and_returning_closes(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s) s:send('hello') end }");
  client_connects(fixture);
  expect_answer(fixture, "hello");
  assert_int_equal(1, terminations(fixture)[CLOSE_CLOSED]);
}

static void early_bytes_are_there_however_late_they_are_read(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s) moongate.sleep(5) s:send(s:receive('*a')) end }");
  client_connects(fixture);
  client_sends(fixture, "early");
  shutdown(fixture->client, SHUT_WR);
  loop_round(&fixture->serving.worker.loop, false);
  clock_advance(&fixture->serving.clock, 6 * SECOND);
  expect_answer(fixture, "early");
  assert_int_equal(1, terminations(fixture)[CLOSE_ENDED]);
}

static void the_context_says_who_and_where(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s, c) s:send(('%s %s %d %s'):format(c.connection_id, c.route, c.port, "
                 "type(c.time))) end }");
  client_connects(fixture);
  expect_answer(fixture, "1-1 tested 1234 number");
}

static void an_error_closes_that_connection_only_and_is_counted(void **state) {
  struct fixture *fixture = *state;
  serve(fixture,
        "action = { handler = function(s) local l = s:receive() if l == 'bad' then error('x') end s:send(l) end }");
  client_connects(fixture);
  client_sends(fixture, "bad\n");
  expect_answer(fixture, "");
  client_connects(fixture);
  client_sends(fixture, "good\n");
  expect_answer(fixture, "good");
  assert_int_equal(1, terminations(fixture)[CLOSE_HANDLER_ERROR]);
  assert_int_equal(1, handler_errors(fixture));
}

static void a_loop_is_stopped_and_the_worker_goes_on(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s) local l = s:receive() while l == 'spin' do pcall(function() while "
                 "true do end end) end "
                 "s:send(l) end }");
  client_connects(fixture);
  client_sends(fixture, "spin\n");
  expect_answer(fixture, "");
  assert_int_equal(1, terminations(fixture)[CLOSE_SCRIPT_TIME]);
  client_connects(fixture);
  client_sends(fixture, "calm\n");
  expect_answer(fixture, "calm");
}

static void a_spawned_function_ends_with_its_handler(void **state) {
  struct fixture *fixture = *state;
  serve(
      fixture,
      "action = { handler = function(s) moongate.spawn(function() s:send('a') moongate.sleep(60) s:send('never') end) "
      "moongate.sleep(0) s:send('b') end }");
  client_connects(fixture);
  expect_answer(fixture, "ab");
  assert_int_equal(0, handler_errors(fixture));
}

static void a_connection_that_closes_takes_its_handler_along(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s) kept = s pcall(function() s:receive(1) end) error('ran on') end }");
  client_connects(fixture);
  loop_round(&fixture->serving.worker.loop, false);
  struct connection *connection = LIST_OWNER(fixture->serving.worker.connections.next, struct connection, node);
  connection_close(connection, PIPE_CLIENT, CLOSE_IDLE);
  expect_answer(fixture, "");
  assert_int_equal(0, handler_errors(fixture));
}

static void a_socket_kept_from_another_connection_is_refused(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s) if kept then s:send(tostring(select(2, kept:send('x')))) "
                 "else kept = s s:send('kept') end end }");
  client_connects(fixture);
  expect_answer(fixture, "kept");
  client_connects(fixture);
  expect_answer(fixture, "closed");
}

static void a_target_function_may_wait_and_its_error_is_counted(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { target = function(c) moongate.sleep(0.001) error('no target') end }");
  client_connects(fixture);
  expect_answer(fixture, "");
  assert_int_equal(1, terminations(fixture)[CLOSE_HANDLER_ERROR]);
  assert_int_equal(1, handler_errors(fixture));
}

static void forward_gives_back_what_was_read_ahead(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = function(s, c) s:receive('*l') local ok = pcall(c.forward, c, 'nonsense') "
                 "c:forward('unix:/tmp/moongate-nobody-listens-here') error('came back') end }");
  client_connects(fixture);
  client_sends(fixture, "line\nrest");
  expect_answer(fixture, "");
  assert_int_equal(0, handler_errors(fixture));
  assert_int_equal(9, fixture->serving.worker.metrics->routes[1]->bytes.in);
}

static void what_a_handler_has_connected_is_closed_with_it(void **state) {
  struct fixture *fixture = *state;
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/target", fixture->serving.scratch.directory);
  assert_int_equal(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  assert_int_equal(0, listen(listener, 4));
  char route[256];
  snprintf(
      route, sizeof route,
      "action = { handler = function(s) db = assert(moongate.connect('unix:%s')) db:send('query') s:send('x') end }",
      address.sun_path);
  serve(fixture, route);
  client_connects(fixture);
  expect_answer(fixture, "x");
  int target = accept(listener, NULL, NULL);
  char bytes[16];
  assert_int_equal(5, recv(target, bytes, sizeof bytes, 0));
  assert_int_equal(0, recv(target, bytes, sizeof bytes, 0));
  close(target);
  close(listener);
  unlink(address.sun_path);
}

static void the_line_handler_answers_each_line_until_false(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = moongate.handlers.line(function(l, s, c) if l == 'quit' then return false end "
                 "if l ~= '' then return l:upper() end end) }");
  client_connects(fixture);
  client_sends(fixture, "one\r\n\r\ntwo\nquit\nthree\n");
  expect_answer(fixture, "ONE\r\nTWO\r\n");
}

static void the_block_handler_sends_its_message(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = moongate.handlers.block('go away') }");
  client_connects(fixture);
  expect_answer(fixture, "go away");
}

static void handlers_in_waiting_are_freed_with_the_worker(void **state) {
  struct fixture *fixture = *state;
  serve(fixture,
        "action = { handler = function(s) moongate.spawn(function() moongate.sleep(60) end) s:receive('*a') end }");
  for (int i = 0; i < 20; i++)
    client_connects(fixture);
  loop_round(&fixture->serving.worker.loop, false);
}

static void memory_stays_flat_over_many_connections(void **state) {
  struct fixture *fixture = *state;
  serve(fixture, "action = { handler = moongate.handlers.echo() }");
  struct script_state *script = fixture->serving.loaded.files[0].version->states[0];
  size_t before = 0;
  for (int i = 0; i < 2000; i++) {
    if (i == 100) {
      lua_gc(script->L, LUA_GCCOLLECT, 0);
      before = script->memory_used;
    }
    client_connects(fixture);
    client_sends(fixture, "ping");
    if (i % 3 == 0) { /* gone before it is answered */
      close(fixture->client);
      fixture->client = -1;
      while (fixture->serving.worker.connection_count > 0)
        loop_round(&fixture->serving.worker.loop, false);
      continue;
    }
    shutdown(fixture->client, SHUT_WR);
    expect_answer(fixture, "ping");
  }
  loop_round(&fixture->serving.worker.loop, false);
  lua_gc(script->L, LUA_GCCOLLECT, 0);
  assert_in_range(script->memory_used, 0, before + 4096);
  assert_int_equal(0, fixture->serving.worker.metrics->worker.active);
}

/* Of files with functions, as far as a worker looks at them. The caller owns the versions. */
static struct route_table *table_of_versions(size_t count) {
  struct route_table *table = calloc(1, sizeof *table);
  assert_non_null(table);
  table->scripts = calloc(count, sizeof(struct script_version *));
  for (; table->script_count < count; table->script_count++) {
    struct script_version *version = table->scripts[table->script_count] = calloc(1, sizeof *version);
    atomic_init(&version->references, 1);
    version->use_of = calloc(1, sizeof *version->use_of);
  }
  return table;
}

static double swap_versions(void *context, size_t count) {
  struct fixture *fixture = context;
  struct worker *worker = &fixture->serving.worker;
  struct route_table *one = table_of_versions(count), *two = table_of_versions(count);
  double began = scaling_cpu();
  assert_int_equal(0, script_worker_adopt(worker, one));
  script_worker_go_live(worker, one);
  assert_int_equal(0, script_worker_adopt(worker, two));
  script_worker_go_live(worker, two);
  script_worker_release(worker, one);
  script_worker_release(worker, two);
  double took = scaling_cpu() - began;
  for (size_t i = 0; i < count; i++) {
    script_version_unref(one->scripts[i]);
    script_version_unref(two->scripts[i]);
  }
  free(one->scripts);
  free(two->scripts);
  free(one);
  free(two);
  return took;
}

static void files_are_taken_up_in_a_time_that_grows_with_their_number(void **state) {
  serve(*state, "action = { handler = function() end }");
  assert_scales(swap_versions, *state, 3000);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_handler_speaks_first_and_returning_closes),
      TEST(early_bytes_are_there_however_late_they_are_read),
      TEST(the_context_says_who_and_where),
      TEST(an_error_closes_that_connection_only_and_is_counted),
      TEST(a_loop_is_stopped_and_the_worker_goes_on),
      TEST(a_spawned_function_ends_with_its_handler),
      TEST(a_connection_that_closes_takes_its_handler_along),
      TEST(a_socket_kept_from_another_connection_is_refused),
      TEST(a_target_function_may_wait_and_its_error_is_counted),
      TEST(forward_gives_back_what_was_read_ahead),
      TEST(what_a_handler_has_connected_is_closed_with_it),
      TEST(the_line_handler_answers_each_line_until_false),
      TEST(the_block_handler_sends_its_message),
      TEST(handlers_in_waiting_are_freed_with_the_worker),
      TEST(memory_stays_flat_over_many_connections),
      TEST(files_are_taken_up_in_a_time_that_grows_with_their_number),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
