/* SPDX-License-Identifier: MIT
 *
 * The Lua socket on one end of a socket pair, the test on the other: LuaSocket's results, waiting, timeouts, ending. */
#include "../support/socket_fixture.h"

static void lines_come_without_their_ends(void **context) {
  expect(context, "one\r\ntwo\n\nr\rr\n", false,
         "return show(s:receive(), s:receive('*l'), s:receive('l'), s:receive('*l'))", "one|two||rr");
}

static void numbers_take_exactly_that_many_bytes(void **context) {
  expect(context, "abcdefgh", false, "return show(s:receive(3), s:receive(0), s:receive(2), s:receive(3))",
         "abc||de|fgh");
}

static void all_is_what_comes_until_the_end(void **context) {
  expect(context, "abc\ndef", true, "return show((s:receive('*a'))) .. show(s:receive('*a'))", "abc\ndefnil|closed|");
}

static void the_end_hands_over_what_there_was(void **context) {
  expect(context, "abc", true, "return show(s:receive(5)) .. ' ' .. show(s:receive(1))", "nil|closed|abc nil|closed|");
}

static void an_unfinished_line_is_a_partial_result(void **context) {
  expect(context, "ab\rc", true, "return show(s:receive('*l'))", "nil|closed|abc");
}

static void a_prefix_counts_and_comes_first(void **context) {
  expect(context, "cdefg\nh", true, "return show(s:receive(4, 'ab'), s:receive('*l', '>')) .. show(s:receive(9, '<'))",
         "abcd|>efgnil|closed|<h");
}

static void a_prefix_alone_is_no_data(void **context) {
  expect(context, "", true, "return show(s:receive('*a', 'before'))", "nil|closed|before");
}

static void a_prefix_of_a_call_that_raised_is_forgotten(void **context) {
  expect(context, "abcde", true,
         "local _ = ('x'):gsub('x', function() pcall(s.receive, s, 9, 'prefix') end) "
         "return show(s:receive(3), s:receive('*l', '>'))",
         "abc|nil|closed|>de");
}

static void a_number_may_be_a_string(void **context) {
  expect(context, "abcdefgh", false, "return show(s:receive('3'), s:receive(2))", "abc|de");
}

static void a_timeout_hands_over_and_consumes_the_partial(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  put(fixture->peers[0], "abc");
  fixture_start(&fixture->base,
                SHOW "s:settimeout(10) local first = show(s:receive(5)) return first .. ' ' .. show(s:receive(2))",
                &outcome, push_sockets);
  loop_round(&fixture->base.loop, false);
  assert_false(outcome.over);
  clock_advance(&fixture->base.clock, 11 * SECOND);
  loop_round(&fixture->base.loop, false);
  put(fixture->peers[0], "de");
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "nil|timeout|abc de");
}

static void timeout_zero_never_waits(void **context) {
  expect(context, "ab", false, "s:settimeout(0) return show(s:receive(3)) .. ' ' .. show(s:receive(1))",
         "nil|timeout|ab nil|timeout|");
}

static void receiveany_takes_what_is_there(void **context) {
  expect(context, "abcdef", true, "return show(s:receiveany(4), s:receiveany()) .. show(s:receiveany(9))",
         "abcd|efnil|closed|");
}

static void peek_takes_nothing(void **context) {
  expect(context, "abc", true, "return show(s:peek(2), s:receive(1), s:peek(9), s:receive(2)) .. show(s:peek(1))",
         "ab|a|bc|bcnil|closed|");
}

static void lines_iterate_to_the_end(void **context) {
  expect(context, "one\r\ntwo\nthree", true,
         "local t = {} for line in s:lines() do t[#t + 1] = line end return table.concat(t, ',')", "one,two,three");
}

static void bytes_that_come_in_pieces_wake_the_reader(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(&fixture->base, SHOW "return show(s:receive('*l'), s:receive(3))", &outcome, push_sockets);
  for (const char *piece = "hello\r\nabc"; *piece; piece++) {
    char one[2] = {*piece, '\0'};
    assert_false(outcome.over);
    put(fixture->peers[0], one);
    loop_round(&fixture->base.loop, true);
  }
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "hello|abc");
}

static void a_line_too_long_is_an_error(void **context) {
  struct socket_fixture *fixture = *context;
  char *bytes = malloc(70001);
  memset(bytes, 'x', 70000);
  bytes[70000] = '\0';
  put(fixture->peers[0], bytes);
  free(bytes);
  expect(context, "", true, "local l, e, p = s:receive() return show(l, e, #p, #s:receive('*a'))",
         "nil|line too long|65536|4464");
}

static void send_answers_with_the_last_index(void **context) {
  expect(
      context, "", false,
      "return show(s:send('hello'), s:send('hello', 2, 3), s:send('hello', -2), s:send({ 'a', 1, 'b' }), s:send(''))",
      "5|3|5|3|0");
  char bytes[64] = {0};
  struct socket_fixture *fixture = *context;
  assert_int_equal(12, read(fixture->peers[0], bytes, sizeof bytes));
  assert_string_equal("helloelloa1b", bytes);
}

static void sending_to_one_who_is_gone_is_closed(void **context) {
  struct socket_fixture *fixture = *context;
  close(fixture->peers[0]);
  fixture->peers[0] = -1;
  expect(context, "", false, "return show(s:send('x'))", "nil|closed|0");
}

/* More than the kernel takes, both ways at once, by two tasks on one socket. */
static void full_duplex_with_backpressure(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(
      &fixture->base,
      SHOW
      "local sent moongate.spawn(function() sent = show(s:send(('0123456789'):rep(100000))) s:shutdown('send') end)\n"
      "local got = s:receive(1000000) while not sent do moongate.sleep(0) end return #got .. ' ' .. sent",
      &outcome, push_sockets);
  char *bytes = malloc(1000000);
  memset(bytes, 'y', 1000000);
  size_t put_bytes = 0, got_bytes = 0;
  while (!outcome.over) {
    ssize_t count = write(fixture->peers[0], bytes + put_bytes, 1000000 - put_bytes);
    put_bytes += count > 0 ? (size_t)count : 0;
    char chunk[4096];
    while ((count = read(fixture->peers[0], chunk, sizeof chunk)) > 0)
      got_bytes += (size_t)count;
    loop_round(&fixture->base.loop, false);
  }
  free(bytes);
  expect_outcome(&outcome, "1000000 1000000");
  char chunk[65536];
  ssize_t count;
  while ((count = read(fixture->peers[0], chunk, sizeof chunk)) > 0)
    got_bytes += (size_t)count;
  assert_int_equal(1000000, got_bytes);
}

/* Small ones and large ones, more than the kernel takes, to one who reads a little at a time. */
static void tables_are_sent_as_their_strings_in_a_row(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(&fixture->base,
                "local s = ... local small, large = {}, {} for i = 1, 10 do small[i] = ('0123456789'):rep(10) end\n"
                "for i = 1, 50 do large[i] = ('0123456789'):rep(10) end\n"
                "for _ = 1, 500 do assert(s:send(small) == 1000) assert(s:send(large) == 5000) end\n"
                "assert(s:send({ 'x', '0123', 'x' }, 2, 5) == 5) assert(s:send({}) == 0) assert(s:send({ '' }) == 0)\n"
                "s:shutdown('send') return 'done'",
                &outcome, push_sockets);
  size_t size = 0;
  char chunk[700];
  ssize_t count;
  for (bool ended = false; !ended;) {
    while ((count = read(fixture->peers[0], chunk, sizeof chunk)) > 0)
      for (ssize_t i = 0; i < count; i++)
        assert_int_equal('0' + size++ % 10, chunk[i]);
    ended = count == 0;
    loop_round(&fixture->base.loop, false);
  }
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "done");
  assert_int_equal(500 * 6000 + 4, size);
}

static void two_readers_at_once_are_an_error(void **context) {
  expect(context, "", false,
         "local err moongate.spawn(function() s:receive(1) end) moongate.sleep(0) err = select(2, pcall(s.receive, s, "
         "1)) return err:match('busy')",
         "busy");
}

static void after_close_everything_is_closed(void **context) {
  expect(
      context, "abc", false,
      "local a = show(s:close(), s:close()) return a .. ' ' .. show(s:receive(1)) .. ' ' .. show(s:send('x')) .. ' ' "
      ".. show(s:getpeername()) .. ' ' "
      ".. show(s:shutdown()) .. ' ' .. show(s:settimeout(1)) .. ' ' .. show(s:peek(1)) .. ' ' .. show(s:pipe(o)) .. ' "
      "' .. tostring(s)",
      "1|nil|closed nil|closed| nil|closed|0 nil|closed nil|closed nil|closed nil|closed| nil|closed socket (closed)");
}

static void closing_wakes_the_one_who_waits(void **context) {
  expect(context, "", false,
         "local got moongate.spawn(function() got = show(s:receive(1)) end) moongate.sleep(0) s:close() "
         "moongate.sleep(0.001) return got",
         "nil|closed|");
}

static void what_was_sent_before_close_arrives_despite_unread_input(void **context) {
  struct socket_fixture *fixture = *context;
  expect(context, "never read", false, "s:send('goodbye') s:close() return 'done'", "done");
  char bytes[64] = {0};
  assert_int_equal(7, read(fixture->peers[0], bytes, sizeof bytes));
  assert_int_equal(0, read(fixture->peers[0], bytes, sizeof bytes));
  end(fixture, 0);
  loop_round(&fixture->base.loop, true);
  assert_true(list_is_empty(&fixture->base.place.lingering));
}

static void a_peer_that_goes_on_after_the_end_has_come_is_told(void **context) {
  struct socket_fixture *fixture = *context;
  expect(context, "before", false, "s:send('goodbye') s:close() return 'done'", "done");
  char bytes[64] = {0};
  put(fixture->peers[0], "in between");
  loop_round(&fixture->base.loop, false);
  assert_false(list_is_empty(&fixture->base.place.lingering));
  assert_int_equal(7, read(fixture->peers[0], bytes, sizeof bytes));
  loop_round(&fixture->base.loop, false);
  assert_false(list_is_empty(&fixture->base.place.lingering));
  put(fixture->peers[0], "after");
  loop_round(&fixture->base.loop, false);
  assert_true(list_is_empty(&fixture->base.place.lingering));
  assert_int_equal(-1, send(fixture->peers[0], "x", 1, MSG_NOSIGNAL));
}

static void lingering_is_bounded(void **context) {
  struct socket_fixture *fixture = *context;
  expect(context, "", false, "s:close() return 'done'", "done");
  assert_false(list_is_empty(&fixture->base.place.lingering));
  clock_advance(&fixture->base.clock, 6 * SECOND);
  loop_round(&fixture->base.loop, false);
  assert_true(list_is_empty(&fixture->base.place.lingering));
}

static void a_socket_that_is_forgotten_is_closed(void **context) {
  struct socket_fixture *fixture = *context;
  expect(context, "", false, "s, o = nil, nil collectgarbage() collectgarbage() return 'done'", "done");
  loop_round(&fixture->base.loop, false);
  lua_gc(fixture->base.state->L, LUA_GCCOLLECT, 0);
  char byte;
  assert_int_equal(0, read(fixture->peers[0], &byte, 1));
}

/* As a global, which the code can let go of: the arguments of a chunk stay on its stack. */
static int push_global_socket(struct fixture *base, lua_State *L) {
  struct socket_fixture *fixture = (struct socket_fixture *)base;
  assert_int_equal(0, script_push_socket(base->state, L, fixture->ends[0]));
  fixture->ends[0] = -1;
  lua_setglobal(L, "socket");
  return 0;
}

/* As a key of a table with weak keys a userdata can be seen after its finalizer has run, and with it what its
 * environment has, as the parser's table of fields. */
static const char seen_again[] =
    "local weak = setmetatable({}, { __mode = 'k' })\n"
    "local pcre = require('moongate.pcre');\n"
    "(function()\n"
    "  local parser, regex = require('moongate.http_parser').new(), pcre.compile('x')\n"
    "  local exchange = { require('moongate.http_parser').exchange(parser, socket, {}) }\n"
    "  exchange[1]()\n"
    "  weak[socket], weak[parser], weak[regex] = 'socket', 'parser', 'regex'\n"
    "  local fields = parser:fields()\n"
    "  fields.exchange, fields.exec, fields.compile = exchange, pcre.exec, pcre.compile\n"
    "end)()\n"
    "local fine = pcre.compile('x')\n"
    "socket, pcre, package.loaded['moongate.pcre'] = nil, nil, nil;\n"
    "(function(...) return select(20, ...) end)(unpack({}, 1, 40))\n"
    "collectgarbage()\n"
    "local seen = {}\n"
    "for one, kind in pairs(weak) do seen[kind] = one end\n"
    "if not (seen.socket and seen.parser and seen.regex) then return 'none were seen' end\n"
    "local fields, pcre = seen.parser:fields(), require('moongate.pcre');\n"
    "local function fails(fn, ...) if pcall(fn, ...) then error('fine', 2) end end\n"
    "fails(seen.socket.send, seen.socket, 'x')\n"
    "fails(pcre.exec, seen.regex, 'x', 0)\n"
    "fails(pcre.names, seen.regex)\n"
    "fails(fields.exec, fine, 'x', 0)\n"
    "fails(fields.compile, 'x')\n"
    "for i = 1, 5 do if i ~= 3 and i ~= 4 then fails(fields.exchange[i], {}) end end\n"
    "fields.exchange[3]({})\n"
    "fields.exchange[4]()\n"
    "return tostring(seen.socket) .. select(2, seen.parser:feed('GET'))\n";

static void what_was_collected_is_seen_again_and_harmless(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  put(fixture->peers[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  fixture_start(&fixture->base, seen_again, &outcome, push_global_socket);
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "socket (closed)error");
}

static void shutdown_of_receiving_ends_reading(void **context) {
  expect(context, "abc", false,
         "local a = show(s:receive(1)) s:shutdown('receive') return a .. show(s:receive('*a')) .. show(s:receive(1))",
         "abcnil|closed|");
}

static void pipe_joins_and_counts_each_way(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  put(fixture->peers[0], "line\nfrom first");
  put(fixture->peers[1], "from second!");
  fixture_start(&fixture->base, SHOW "local line = s:receive() return show(line, s:pipe(o))", &outcome, push_sockets);
  end(fixture, 0);
  end(fixture, 1);
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "line|10|12");
  char bytes[64] = {0};
  assert_int_equal(10, read(fixture->peers[1], bytes, sizeof bytes));
  assert_string_equal("from first", bytes);
  assert_int_equal(0, read(fixture->peers[1], bytes, sizeof bytes));
}

static void a_piped_socket_is_busy_and_goes_with_its_task(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  struct script_task *task = fixture_start(
      &fixture->base, SHOW "moongate.spawn(function() err = select(2, pcall(s.receive, s)) end) return show(s:pipe(o))",
      &outcome, push_sockets);
  loop_round(&fixture->base.loop, false);
  task_cancel(task, true);
  loop_round(&fixture->base.loop, false);
  fixture_expect(&fixture->base, "return err:match('busy')", "busy");
}

/* The peer is always ready both ways: nobody may keep the worker for itself, and nobody is stopped for being busy. */
static void a_socket_that_is_always_ready_lets_others_have_their_turn(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(&fixture->base,
                "local s, o = ... local stop moongate.spawn(function() moongate.sleep(0) stop = true end)\n"
                "local n = 0 while not stop do s:send('x') s:receive(0) o:settimeout(0) n = n + 1 end return n < 1000",
                &outcome, push_sockets);
  char bytes[4096];
  while (!outcome.over) {
    while (read(fixture->peers[0], bytes, sizeof bytes) > 0)
      ;
    loop_round(&fixture->base.loop, false);
  }
  expect_outcome(&outcome, "true");
}

static void misuse_raises(void **context) {
  expect(context, "", false,
         "return show(pcall(s.receive, s, '*x')):match('%*l') .. show(pcall(s.send, s)):match('string expected') .. "
         "show(pcall(s.send, s, { {} })):match('element 1 is a table') .. show(pcall(s.settimeout, s, "
         "'soon')):match('duration')",
         "*lstring expectedelement 1 is a tableduration");
}

static void names_are_not_cut_at_a_nul(void **context) {
  expect(context, "", false,
         "return show(moongate.resolve('127.0.0.1\\0x')) .. "
         "show(s:starttls({ ca = '/dev/null\\0x' })) .. show((pcall(require, 'moongate.json\\0x')))",
         "nil|host or service not provided, or not knownnil|bad certificate|ca: there is a NUL in itfalse");
}

static void misuse_in_a_tail_call_names_the_method(void **context) {
  static const struct {
    const char *call, *message;
  } cases[] = {
      {"s:receive('*x')", "bad argument #1 to 'socket:receive' ("},
      {"s:receive(1, {})", "bad argument #2 to 'socket:receive' (string expected, got table"},
      {"s:lines('*x')", "bad argument #1 to 'socket:lines' ("},
      {"s:lines(4)", "bad argument #1 to 'socket:lines' ("},
      {"s:send({ {} })", "bad argument #1 to 'socket:send' (element 1 is a table"},
      {"s:shutdown('up')", "bad argument #1 to 'socket:shutdown' ("},
      {"s:pipe(s)", "bad argument #1 to 'socket:pipe' ("},
      {"s:pipe({})", "bad argument #1 to 'socket:pipe' (a socket expected, got table"},
      {"s.send('x')", "bad argument self to 'socket:send' ("},
      {"moongate.sleep('soon')", "bad argument #1 to 'moongate.sleep' ("},
      {"moongate.spawn(1)", "bad argument #1 to 'moongate.spawn' (a function expected, got number"},
      {"moongate.connect('here', 'x')", "bad argument #2 to 'moongate.connect' (a port expected"},
      {"moongate.connect({})", "bad argument #1 to 'moongate.connect' ("},
      {"moongate.connect('127.0.0.1:1\\0x')", "bad argument #1 to 'moongate.connect' (where to connect to"},
      {"moongate.connect('unix:/x\\0x')", "bad argument #1 to 'moongate.connect' (where to connect to"},
      {"moongate.connect('127.0.0.1\\0x', 1)", "bad argument #1 to 'moongate.connect' (where to connect to"},
      {"moongate.sleep('0s\\0x')", "bad argument #1 to 'moongate.sleep' (a duration"},
      {"s:starttls({ server_name = 'a.test\\0.b' })", "bad argument #1 to 'socket:starttls' (server_name"},
      {"moongate.metrics.counter('a\\0b', '')", "bad argument #1 to 'moongate.metrics.counter' ("},
      {"moongate.metrics.counter('a', '', { 'b\\0c' })", "bad argument #3 to 'moongate.metrics.counter' ("},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char code[512];
    snprintf(code, sizeof code,
             "local ok, message = pcall(function() return %s end) return tostring(message):sub(1, %zu)", cases[i].call,
             strlen(cases[i].message));
    if (i > 0) {
      tear_down(context);
      set_up(context);
    }
    expect(context, "", false, code, cases[i].message);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(lines_come_without_their_ends),
      TEST(numbers_take_exactly_that_many_bytes),
      TEST(all_is_what_comes_until_the_end),
      TEST(the_end_hands_over_what_there_was),
      TEST(an_unfinished_line_is_a_partial_result),
      TEST(a_prefix_counts_and_comes_first),
      TEST(a_prefix_alone_is_no_data),
      TEST(names_are_not_cut_at_a_nul),
      TEST(a_prefix_of_a_call_that_raised_is_forgotten),
      TEST(a_number_may_be_a_string),
      TEST(a_timeout_hands_over_and_consumes_the_partial),
      TEST(timeout_zero_never_waits),
      TEST(receiveany_takes_what_is_there),
      TEST(peek_takes_nothing),
      TEST(lines_iterate_to_the_end),
      TEST(bytes_that_come_in_pieces_wake_the_reader),
      TEST(a_line_too_long_is_an_error),
      TEST(send_answers_with_the_last_index),
      TEST(sending_to_one_who_is_gone_is_closed),
      TEST(full_duplex_with_backpressure),
      TEST(tables_are_sent_as_their_strings_in_a_row),
      TEST(two_readers_at_once_are_an_error),
      TEST(after_close_everything_is_closed),
      TEST(closing_wakes_the_one_who_waits),
      TEST(what_was_sent_before_close_arrives_despite_unread_input),
      TEST(a_peer_that_goes_on_after_the_end_has_come_is_told),
      TEST(lingering_is_bounded),
      TEST(a_socket_that_is_forgotten_is_closed),
      TEST(what_was_collected_is_seen_again_and_harmless),
      TEST(shutdown_of_receiving_ends_reading),
      TEST(pipe_joins_and_counts_each_way),
      TEST(a_piped_socket_is_busy_and_goes_with_its_task),
      TEST(a_socket_that_is_always_ready_lets_others_have_their_turn),
      TEST(misuse_raises),
      TEST(misuse_in_a_tail_call_names_the_method),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
