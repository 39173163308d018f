/* SPDX-License-Identifier: MIT
 *
 * Functions of a real route file that are asked for no connection: for a name, on behalf of those who wait for it. */
#include "../support/serving_fixture.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const uint64_t SECOND = 1000000000;

enum { ROUNDS = 200 };

/* A name that several wait for: one question for all of them. */
struct name {
  struct asker asker;
  struct fixture *fixture;
  const char *text;
  unsigned waiting, told;
  enum asker_result result;
  struct function_answer answer;
};

struct fixture {
  struct serving serving;
  struct name name;
  int log[2];
};

static struct name *name_of(const struct asker *asker) { return (struct name *)(uintptr_t)asker; }

static struct worker *name_worker(const struct asker *asker) { return &name_of(asker)->fixture->serving.worker; }

static const struct route *name_route(const struct asker *asker) {
  return name_of(asker)->fixture->serving.table->routes[0];
}

static const char *name_subject(const struct asker *asker) { return name_of(asker)->text; }

static void name_ask(struct name *name) {
  name->result = asker_ask(&name->asker, name_route(&name->asker)->when_function, &name->answer);
}

static void name_answered(struct asker *asker) {
  struct name *name = name_of(asker);
  name_ask(name);
  name->told += name->waiting;
  name->waiting = 0;
}

static const struct asker_ops name_ops = {
    .worker = name_worker, .route = name_route, .subject = name_subject, .answered = name_answered};

static int set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  assert_int_equal(0, pipe2(fixture->log, O_NONBLOCK | O_CLOEXEC));
  serving_init(&fixture->serving, fixture->log[1]);
  fixture->name = (struct name){.asker.ops = &name_ops, .fixture = fixture, .text = "a.example.com"};
  *state = fixture;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *fixture = *state;
  asker_cancel(&fixture->name.asker);
  free(fixture->name.answer.string);
  serving_deinit(&fixture->serving);
  close(fixture->log[0]);
  close(fixture->log[1]);
  free(fixture);
  return 0;
}

/* The function is called with the name, or with a connection's context. */
static void serve_when(struct fixture *fixture, const char *body) {
  char text[4096];
  snprintf(text, sizeof text,
           "return { name = 'tested', match = { ports = 0, when = function(name) %s end }, "
           "action = { handler = function(s) s:send('handled') end } }",
           body);
  serving_start(&fixture->serving, text);
}

static void run_rounds(struct fixture *fixture, const struct name *until) {
  for (int i = 0; i < ROUNDS && (until == NULL || until->result == ASKER_WAITS); i++)
    loop_round(&fixture->serving.worker.loop, false);
}

static void a_name_is_what_its_function_is_asked_about(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  serve_when(fixture, "return name .. '!', 7");
  name_ask(name);
  run_rounds(fixture, name);
  assert_int_equal(ASKER_ANSWERED, name->result);
  assert_string_equal("a.example.com!", name->answer.string);
  assert_true(name->answer.number == 7);
  assert_false(asker_is_busy(&name->asker));
}

static void all_who_wait_are_told_by_one_answer(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  struct function_wait wait;
  serve_when(fixture, "moongate.sleep(5) return name");
  name_ask(name);
  name->waiting = 2;
  assert_int_equal(ASKER_WAITS, name->result);
  run_rounds(fixture, NULL);
  assert_int_equal(0, name->told);
  assert_true(fixture->serving.worker.hooks->function_waits(&name->asker, &wait));
  assert_string_equal("match.when", wait.field);
  clock_advance(&fixture->serving.clock, 6 * SECOND);
  run_rounds(fixture, name);
  assert_int_equal(ASKER_ANSWERED, name->result);
  assert_int_equal(2, name->told);
  assert_string_equal("a.example.com", name->answer.string);
  assert_false(fixture->serving.worker.hooks->function_waits(&name->asker, &wait));
}

static void what_is_cancelled_calls_nobody_and_can_be_asked_again(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  serve_when(fixture, "moongate.sleep(5) return 'slept'");
  name_ask(name);
  name->waiting = 1;
  run_rounds(fixture, NULL);
  asker_cancel(&name->asker);
  assert_false(asker_is_busy(&name->asker));
  clock_advance(&fixture->serving.clock, 6 * SECOND);
  run_rounds(fixture, NULL);
  assert_int_equal(0, name->told);
  name_ask(name);
  assert_int_equal(ASKER_WAITS, name->result);
  clock_advance(&fixture->serving.clock, 6 * SECOND);
  run_rounds(fixture, name);
  assert_int_equal(1, name->told);
}

static void an_error_is_counted_and_told_with_the_name(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  char text[4096];
  serve_when(fixture, "error('no such luck')");
  name_ask(name);
  run_rounds(fixture, name);
  assert_int_equal(ASKER_ANSWERED, name->result);
  assert_int_equal(ANSWER_ERROR, name->answer.kind);
  assert_int_equal(1, fixture->serving.worker.metrics->worker.errors[ERROR_HANDLER]);
  ssize_t got = read(fixture->log[0], text, sizeof text - 1);
  assert_true(got > 0);
  text[got] = '\0';
  assert_non_null(strstr(text, "for=a.example.com"));
  assert_non_null(strstr(text, "route=tested"));
  assert_null(strstr(text, "connection="));
}

/* An exchange and a name ask the same function: neither has the other's answer. */
static void a_name_and_an_exchange_ask_at_a_time(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  struct sockaddr peer = {.sa_family = AF_UNIX};
  char text[64];
  int fds[2];
  serve_when(fixture, "moongate.sleep(5) return type(name) == 'table' or name");
  name_ask(name);
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
  connection_accept(&fixture->serving.worker, &fixture->serving.table->ports[0], 1234, fds[1], &peer);
  run_rounds(fixture, NULL);
  asker_cancel(&name->asker);
  clock_advance(&fixture->serving.clock, 6 * SECOND);
  run_rounds(fixture, NULL);
  assert_int_equal(7, read(fds[0], text, sizeof text));
  assert_memory_equal("handled", text, 7);
  assert_int_equal(0, name->told);
  close(fds[0]);
  run_rounds(fixture, NULL);
}

/* Sockets know an exchange to keep awake, but where there is none. */
static void a_function_without_a_connection_may_connect(void **state) {
  struct fixture *fixture = *state;
  struct name *name = &fixture->name;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  char body[512];
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), fd = -1;
  assert_int_equal(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  assert_int_equal(0, listen(listener, 4));
  assert_int_equal(0, getsockname(listener, (struct sockaddr *)&address, &length));
  snprintf(body, sizeof body,
           "local s = assert(moongate.connect('127.0.0.1', %u)) local t = assert(moongate.connect('127.0.0.1', %u)) "
           "s:send(name .. '\\n') local line = s:receive() s:pipe(t, { one_way = true, bytes = 2 }) return line",
           ntohs(address.sin_port), ntohs(address.sin_port));
  serve_when(fixture, body);
  name_ask(name);
  for (int i = 0; i < 5000 && name->result == ASKER_WAITS; i++) {
    loop_round(&fixture->serving.worker.loop, false);
    if (fd < 0 && (fd = accept(listener, NULL, NULL)) >= 0)
      assert_int_equal(8, write(fd, "hello\nxy", 8));
    usleep(1000);
  }
  assert_int_equal(ASKER_ANSWERED, name->result);
  assert_string_equal("hello", name->answer.string);
  close(fd);
  close(listener);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_name_is_what_its_function_is_asked_about, set_up, tear_down),
      cmocka_unit_test_setup_teardown(all_who_wait_are_told_by_one_answer, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_cancelled_calls_nobody_and_can_be_asked_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_error_is_counted_and_told_with_the_name, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_name_and_an_exchange_ask_at_a_time, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_function_without_a_connection_may_connect, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
