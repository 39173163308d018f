/* SPDX-License-Identifier: MIT
 *
 * "moongate.native" for what changes the running state: what its functions hand down, when they raise, and answers that
 * come later or too late. */
#include "../support/script_fixture.h"

#include "native/host.h"
#include "native/native.h"

struct test {
  struct fixture fixture;
  struct script_host host;
  struct native_module module;
  struct native_call *call; /* that is waited for */
  unsigned calls;
  char name[64];
  char text[64];
  size_t size;
};

static void keep_call(struct test *test, struct native_call *call) {
  test->call = call;
  test->calls++;
}

static void on_reload(void *context, struct native_call *call) { keep_call(context, call); }

static void on_put_file(void *context, const char *name, const char *text, size_t size, struct native_call *call) {
  struct test *test = context;
  assert_true(size < sizeof test->text);
  snprintf(test->name, sizeof test->name, "%s", name);
  memcpy(test->text, text, size);
  test->size = size;
  keep_call(test, call);
}

static void on_delete_file(void *context, const char *name, struct native_call *call) {
  struct test *test = context;
  snprintf(test->name, sizeof test->name, "%s", name);
  test->calls++;
  struct value *value = value_table();
  value_set_number(value, "status", 404);
  native_call_answer(call, value);
}

/* "counters", or what was asked for. */
static void on_ask(void *context, const char *question, const struct value *arguments, struct native_call *call) {
  struct test *test = context;
  struct value *table = value_table();
  test->calls++;
  if (strcmp(question, "counters") == 0) {
    value_set_counter(table, "few", UINT64_C(1) << 53);
    value_set_counter(table, "many", UINT64_MAX);
  } else {
    const struct value *where = value_get(arguments, "where");
    value_set_string(table, "question", question);
    value_set_string(table, "state", value_get_text(where, "state"));
    value_set_number(table, "age", value_get_number(where, "age>=", -1));
    value_set_boolean(table, "stuck", value_get_flag(where, "stuck"));
  }
  native_call_answer(call, table);
}

static const struct native_ops whole = {
    .ask = on_ask, .reload = on_reload, .put_file = on_put_file, .delete_file = on_delete_file};
static const struct native_ops empty = {.reload = NULL};

static struct test *begin(const struct native_ops *ops) {
  struct test *test = calloc(1, sizeof *test);
  struct error error = {0};
  assert_non_null(test);
  fixture_begin(&test->fixture, 0, 0);
  script_state_stop(test->fixture.state);
  script_state_unref(test->fixture.state);
  test->module = (struct native_module){.ops = ops, .context = test};
  struct script_options options = {.trusted = true, .log = &test->fixture.log};
  struct script_place place = {.loop = &test->fixture.loop, .pipes = &test->fixture.pipes, .log = &test->fixture.log};
  if (native_host_init(&test->host, &place, &options, &test->module, &error) != 0)
    fail_msg("%s", error.message);
  test->fixture.state = test->host.state; /* its tasks run there */
  return test;
}

static void end(struct test *test) {
  test->fixture.state = NULL;
  script_host_deinit(&test->host);
  fixture_end(&test->fixture);
  free(test);
}

static void what_nobody_offers_raises(void **state) {
  (void)state;
  struct test *test = begin(&empty);
  fixture_expect(
      &test->fixture,
      "local native, raised = require 'moongate.native', ''\n"
      "for _, call in ipairs { { native.reload }, { native.ask, 'files' }, { native.delete_file, 'a.lua' },\n"
      "    { native.put_file, { name = 'a.lua', text = '' } } } do\n"
      "  local done, message = pcall(call[1], call[2])\n"
      "  raised = raised .. (done and 'done' or message:match('moongate is not running') or message) .. ';'\n"
      "end\n"
      "return raised",
      "moongate is not running;moongate is not running;moongate is not running;moongate is not running;");
  end(test);
}

static void any_bytes_can_be_put_and_the_answer_may_come_later(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  struct outcome outcome;
  fixture_start(&test->fixture,
                "local answer = require('moongate.native').put_file { name = 'a.lua', text = 'x\\0\\255y' }\n"
                "return answer.status .. ' ' .. #answer.faults",
                &outcome, NULL);
  assert_false(outcome.over);
  assert_string_equal("a.lua", test->name);
  assert_int_equal(4, test->size);
  assert_memory_equal("x\0\377y", test->text, 4);
  struct value *value = value_table();
  value_set_number(value, "status", 201);
  value_set_table(value, "faults");
  native_call_answer(test->call, value);
  assert_true(outcome.over);
  assert_string_equal("201 0", outcome.text);
  end(test);
}

static void an_answer_may_come_at_once(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  fixture_expect(&test->fixture,
                 "local native = require 'moongate.native'\n"
                 "return native.delete_file('b.lua').status .. native.ask('files').question",
                 "404files");
  assert_string_equal("b.lua", test->name);
  end(test);
}

static void a_counter_comes_to_its_last_digit_and_reckons_as_a_number(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  fixture_expect(&test->fixture,
                 "local json, found = require 'moongate.json', require('moongate.native').ask 'counters'\n"
                 "assert(found.few == 2 ^ 53)\n"
                 "assert(found.many + 1 == 2 ^ 64 and 2 * found.many / 2 == 2 ^ 64 and found.many - 0 == 2 ^ 64)\n"
                 "return tostring(found.many) .. json.encode(found) ..\n"
                 "  require('moongate.metrics.exposition').format_value(found.many)",
                 "18446744073709551615{\"few\":9007199254740992,\"many\":18446744073709551615}18446744073709551615");
  end(test);
}

static void plain_arguments_come_down_with_a_question(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  fixture_expect(&test->fixture,
                 "local said = require('moongate.native').ask('connections', {\n"
                 "  where = { state = 'idle', ['age>='] = 1.5, stuck = true } })\n"
                 "return said.question .. said.state .. said.age .. tostring(said.stuck)",
                 "connectionsidle1.5true");
  fixture_expect(
      &test->fixture,
      "local ask, passed, deep = require('moongate.native').ask, 0, {}\n"
      "deep.deeper = deep\n"
      "for _, wrong in ipairs { 'x', deep, { a = print }, { a = 'b\\0c' }, { a = { b = { 1, {} , {{{}}} } } } } do\n"
      "  passed = passed + (pcall(ask, 'connections', wrong) and 1 or 0)\n"
      "end\n"
      "return passed",
      "0");
  assert_int_equal(1, test->calls);
  end(test);
}

static void what_is_no_route_file_never_gets_down(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  fixture_expect(
      &test->fixture,
      "local native, passed = require 'moongate.native', 0\n"
      "for _, name in ipairs { '', '.lua', '.a.lua', 'a', '../a.lua', '/a.lua', 'a\\0.lua', 'a.lua.bak' } do\n"
      "  passed = passed + (pcall(native.delete_file, name) and 1 or 0)\n"
      "  passed = passed + (pcall(native.put_file, { name = name, text = '' }) and 1 or 0)\n"
      "end\n"
      "passed = passed + (pcall(native.put_file, { name = 'a.lua' }) and 1 or 0)\n"
      "passed = passed + (pcall(native.put_file, 'a.lua') and 1 or 0)\n"
      "return passed",
      "0");
  assert_int_equal(0, test->calls);
  end(test);
}

static void an_answer_for_a_task_that_has_gone_is_dropped(void **state) {
  (void)state;
  struct test *test = begin(&whole);
  struct outcome outcome;
  struct script_task *task =
      fixture_start(&test->fixture, "return require('moongate.native').reload()", &outcome, NULL);
  task_cancel(task, true);
  loop_round(&test->fixture.loop, false);
  native_call_answer(test->call, value_table());
  assert_false(outcome.over);
  end(test);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_nobody_offers_raises),
      cmocka_unit_test(any_bytes_can_be_put_and_the_answer_may_come_later),
      cmocka_unit_test(an_answer_may_come_at_once),
      cmocka_unit_test(a_counter_comes_to_its_last_digit_and_reckons_as_a_number),
      cmocka_unit_test(plain_arguments_come_down_with_a_question),
      cmocka_unit_test(what_is_no_route_file_never_gets_down),
      cmocka_unit_test(an_answer_for_a_task_that_has_gone_is_dropped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
