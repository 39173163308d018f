/* SPDX-License-Identifier: MIT
 *
 * receiveuntil's readers, timeouts by direction and by step, options and counts. */
#include "../support/socket_fixture.h"

static void up_to_a_string_and_on_behind_it(void **context) {
  expect(context, "one, two, three", true,
         "local r = s:receiveuntil(', ') return show(r(), r(), s:receive(2), show(r()), show(r()))",
         "one|two|th|nil|closed|ree|nil|closed|");
}

static void the_string_is_included_where_that_is_asked_for(void **context) {
  expect(context, "one--two--", true, "local r = s:receiveuntil('--', { inclusive = true }) return show(r(), r())",
         "one--|two--");
}

/* OpenResty's example: pieces, then nil once, then the next part. */
static void pieces_end_with_nil_and_begin_anew(void **context) {
  expect(context, "hello, world! -agentzh\r\n--abcedhb blah blah", false,
         "local r, t = s:receiveuntil('\\r\\n--abcedhb'), {} for i = 1, 7 do t[i] = tostring(r(4)) end "
         "return table.concat(t, '|') .. show(r(5))",
         "hell|o, w|orld|! -a|gent|zh|nil blah");
}

static void a_string_that_nearly_comes_does_not_count(void **context) {
  expect(context, "aabaabaaab.abababc!", false,
         "return show(s:receiveuntil('aabaaab')(), s:receiveuntil('ababc')(), s:receive(1))", "aab|.ab|!");
}

static void a_string_in_many_segments_is_found(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(&fixture->base,
                SHOW "local r = s:receiveuntil('--end--') return show(r(2), r(2), r(2), r(2), r(2), s:receive(1))",
                &outcome, push_sockets);
  for (const char *byte = "a--en-b--end--x"; *byte != '\0'; byte++) {
    char text[2] = {*byte, '\0'};
    put(fixture->peers[0], text);
    loop_round(&fixture->base.loop, true);
  }
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "a-|-e|n-|b|nil|x");
}

/* What can't be the beginning of the string is handed out at once. */
static void a_piece_is_not_held_back_for_what_can_not_come(void **context) {
  expect(context, "abc", false, "s:settimeout(0) return show(s:receiveuntil('xyz')(3))", "abc");
}

static void a_timeout_in_the_middle_of_the_string_loses_nothing(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  put(fixture->peers[0], "data\r\n-");
  fixture_start(&fixture->base,
                SHOW "local r = s:receiveuntil('\\r\\n--') s:settimeout(1) local a = show(r()) s:settimeout() "
                     "return a .. ' ' .. show(r())",
                &outcome, push_sockets);
  loop_round(&fixture->base.loop, false);
  clock_advance(&fixture->base.clock, 2 * SECOND);
  loop_round(&fixture->base.loop, false);
  put(fixture->peers[0], "-");
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "nil|timeout|data ");
}

static void what_never_comes_is_bounded(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  char *bytes = malloc(1024 * 1024);
  memset(bytes, 'x', 1024 * 1024);
  fixture_start(&fixture->base,
                SHOW "local _, err, partial = s:receiveuntil('\\n')() return show(err, #partial >= 16 * 1024 * 1024)",
                &outcome, push_sockets);
  for (int i = 0; i < 100000 && !outcome.over; i++) {
    if (write(fixture->peers[0], bytes, 1024 * 1024) < 0)
      assert_int_equal(EAGAIN, errno);
    loop_round(&fixture->base.loop, false);
  }
  expect_outcome(&outcome, "too much data|true");
  free(bytes);
}

static void misuse_of_readers_is_told(void **context) {
  expect(context, "", false,
         "local function why(...) return (select(2, pcall(s.receiveuntil, s, ...))) end "
         "return tostring(why('')):match('1 to 4096 bytes') .. why():match('string expected') .. "
         "why('x', 1):match('table of options') .. why('x', { inclusiv = true }):match(\"no option 'inclusiv'; there "
         "are: inclusive\") .. "
         "why(('x'):rep(5000)):match('4096') .. select(2, pcall(s:receiveuntil('x'), -1)):match('number of bytes')",
         "1 to 4096 bytesstring expectedtable of optionsno option 'inclusiv'; there are: inclusive4096number of bytes");
}

static void a_timeout_is_of_one_direction_where_it_says_so(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  fixture_start(&fixture->base,
                SHOW "s:settimeout(1, 'receive') s:settimeout(0, 'send') "
                     "local sent = show((select(2, s:send(('x'):rep(8000000))))) "
                     "return sent .. ' ' .. show(s:receive(1)) .. ' ' .. show(s:gettimeout())",
                &outcome, push_sockets);
  loop_round(&fixture->base.loop, false);
  assert_false(outcome.over);
  clock_advance(&fixture->base.clock, 2 * SECOND);
  loop_round(&fixture->base.loop, false);
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "timeout nil|timeout| nil|1|0");
}

/* Half a second a byte: too long in all, never for a step. */
static void drip(struct socket_fixture *fixture, const char *code, const char *expected) {
  struct outcome outcome;
  char whole[512];
  snprintf(whole, sizeof whole, SHOW "%s", code);
  fixture_start(&fixture->base, whole, &outcome, push_sockets);
  for (int i = 0; i < 4 && !outcome.over; i++) {
    put(fixture->peers[0], "x");
    loop_round(&fixture->base.loop, true);
    clock_advance(&fixture->base.clock, SECOND / 2);
    loop_round(&fixture->base.loop, false);
  }
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, expected);
}

static void a_timeout_is_of_the_whole_call(void **context) {
  drip(*context, "s:settimeout(1.2) return show(s:receive(4))", "nil|timeout|xxx");
}

static void or_of_each_step_of_it(void **context) {
  drip(*context, "s:settimeout(1.2, 'b') return show(s:receive(4))", "xxxx");
}

static void the_sooner_of_both_counts(void **context) {
  drip(*context, "s:settimeout(5, 't') s:settimeout(0.3, 'b') return show(s:receive(4))", "nil|timeout|x");
}

static void options_and_counts_are_answered(void **context) {
  expect(context, "abc", false,
         "s:receive(2) s:send('hello') local i, o, age = s:getstats() "
         "return show(s:setoption('keepalive', true), s:getoption('keepalive'), i, o, age < 100, "
         "select(2, pcall(s.setoption, s, 'nodelay')):match('\"tcp%-nodelay\"'), "
         "select(2, pcall(s.setoption, s, 'keepalive', 1)):match('true or false')) .. "
         "show(s:setoption('tcp-nodelay', true))",
         "1|true|3|5|true|\"tcp-nodelay\"|true or falsenil|failed");
}

static void one_that_is_cut_does_not_look_like_the_end(void **context) {
  struct socket_fixture *fixture = *context;
  struct outcome outcome;
  int fds[2];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  assert_int_equal(0, listen(listener, 1));
  assert_int_equal(0, getsockname(listener, (struct sockaddr *)&address, &length));
  fds[0] = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(0, connect(fds[0], (struct sockaddr *)&address, sizeof address));
  fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  close(fixture->ends[0]);
  fixture->ends[0] = fds[1];
  fixture_start(&fixture->base, SHOW "return show(s:receive('*a'))", &outcome, push_sockets);
  put(fds[0], "half");
  loop_round(&fixture->base.loop, true);
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(fds[0]);
  close(listener);
  fixture_wait(&fixture->base, &outcome);
  expect_outcome(&outcome, "nil|closed|half");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(up_to_a_string_and_on_behind_it),
      TEST(the_string_is_included_where_that_is_asked_for),
      TEST(pieces_end_with_nil_and_begin_anew),
      TEST(a_string_that_nearly_comes_does_not_count),
      TEST(a_string_in_many_segments_is_found),
      TEST(a_piece_is_not_held_back_for_what_can_not_come),
      TEST(a_timeout_in_the_middle_of_the_string_loses_nothing),
      TEST(what_never_comes_is_bounded),
      TEST(misuse_of_readers_is_told),
      TEST(a_timeout_is_of_one_direction_where_it_says_so),
      TEST(a_timeout_is_of_the_whole_call),
      TEST(or_of_each_step_of_it),
      TEST(the_sooner_of_both_counts),
      TEST(options_and_counts_are_answered),
      TEST(one_that_is_cut_does_not_look_like_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
