/* SPDX-License-Identifier: MIT
 *
 * Calls that have begun to wait when memory runs out: the coroutine that waits can't hand that on, the function catches
 * the error and goes on, and Lua collects all that waited. Each allocation is refused in turn; what Lua frees is
 * overwritten and never used again, so that whoever still has it finds out. */
#include "../support/socket_fixture.h"
#include "names/resolve.h"
#include "script/state_private.h"

/* Stands between a state and its allocator. */
struct trial {
  lua_Alloc allocate;
  void *allocator;
  unsigned count, refused; /* allocations, and the number of the one that fails; 0: none */
};

static void *try_to_allocate(void *context, void *block, size_t old_size, size_t new_size) {
  struct trial *trial = context;
  void *result = NULL;
  if (new_size > old_size && trial->refused != 0 && ++trial->count == trial->refused)
    return NULL;
  if (new_size > 0 && (result = trial->allocate(trial->allocator, NULL, 0, new_size)) == NULL)
    return NULL;
  if (old_size > 0) {
    if (new_size > 0)
      memcpy(result, block, old_size < new_size ? old_size : new_size);
    memset(block, 0xdb, old_size);
  }
  return result;
}

struct wait_fixture {
  struct socket_fixture sockets;
  struct dialer dialer;
  int silent; /* the name server, which answers nothing */
  struct trial trial;
};

static void begin_trial(struct wait_fixture *fixture) {
  memset(fixture, 0, sizeof *fixture);
  struct fixture *base = &fixture->sockets.base;
  fixture_begin(base, 0, 0);
  open_pair(&fixture->sockets, 0);
  open_pair(&fixture->sockets, 1);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  fixture->silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(0, bind(fixture->silent, (struct sockaddr *)&address, size));
  assert_int_equal(0, getsockname(fixture->silent, (struct sockaddr *)&address, &size));
  char servers[32];
  struct error error = {0};
  snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(address.sin_port));
  struct resolver_options options = {.servers = servers};
  struct resolver *resolver = resolver_new(&base->loop, &options, &error);
  assert_non_null(resolver);
  dialer_init(&fixture->dialer, &base->loop, resolver, &(struct tcp_options){.no_delay = true});
  base->place.dialer = &fixture->dialer;
  struct script_state *state = base->state;
  fixture->trial = (struct trial){.allocate = state->allocate, .allocator = state->allocator};
  state->allocate = try_to_allocate;
  state->allocator = &fixture->trial;
}

static void end_trial(struct wait_fixture *fixture) {
  struct fixture *base = &fixture->sockets.base;
  base->state->allocate = fixture->trial.allocate;
  base->state->allocator = fixture->trial.allocator;
  script_state_stop(base->state);
  script_state_unref(base->state);
  base->state = NULL;
  resolver_free(fixture->dialer.resolver);
  close(fixture->silent);
  fixture_end(base);
  for (int i = 0; i < 2; i++) {
    close(fixture->sockets.peers[i]);
    if (fixture->sockets.ends[i] >= 0)
      close(fixture->sockets.ends[i]);
  }
}

/* The next allocations are counted from here on. */
static int start_counting(lua_State *L) {
  struct trial *trial = lua_touserdata(L, lua_upvalueindex(1));
  trial->refused = (unsigned)lua_tointeger(L, lua_upvalueindex(2));
  return 0;
}

static int stop_counting(lua_State *L) {
  struct trial *trial = lua_touserdata(L, lua_upvalueindex(1));
  trial->refused = 0;
  return 0;
}

static void set_functions(struct wait_fixture *fixture, unsigned refused) {
  lua_State *L = fixture->sockets.base.state->L;
  lua_pushlightuserdata(L, &fixture->trial);
  lua_pushinteger(L, (lua_Integer)refused);
  lua_pushcclosure(L, start_counting, 2);
  lua_setglobal(L, "start_counting");
  lua_pushlightuserdata(L, &fixture->trial);
  lua_pushcclosure(L, stop_counting, 1);
  lua_setglobal(L, "stop_counting");
}

/* `call` waits, in a coroutine that alone has the sockets in `held`, at a depth of the stack where copying what it has
 * yielded makes the stack grow, or not. */
static bool is_over_without_refusal(const char *call, int depth, unsigned refused, bool *failed) {
  struct wait_fixture fixture;
  struct outcome outcome;
  char code[2048];
  begin_trial(&fixture);
  set_functions(&fixture, refused);
  snprintf(
      code, sizeof code,
      "local function run(held)\n"
      "local co = coroutine.create(function() %s end)\n"
      "local function down(n) if n == 0 then start_counting() return (coroutine.resume(co)) end\n"
      "  return (down(n - 1)) end\n"
      "local function fail() stop_counting() if held.cancelled then held.cancelled:cancel() end held, co = nil, nil\n"
      "  for _ = 1, 3 do collectgarbage() end end\n"
      "local ok, why = pcall(down, %d) fail()\n"
      "moongate.sleep(0) return ok and 'waited' or why end return run({ ... })",
      call, depth);
  fixture_start(&fixture.sockets.base, code, &outcome, push_sockets);
  bool was_refused = fixture.trial.count >= refused;
  fixture.trial.refused = 0;
  if (was_refused)
    fixture_wait(&fixture.sockets.base, &outcome);
  *failed = *failed || (was_refused && strcmp(outcome.text, "not enough memory") == 0);
  for (int i = 0; i < 3; i++)
    loop_round(&fixture.sockets.base.loop, false);
  end_trial(&fixture);
  return !was_refused;
}

static void try_all(const char *call) {
  bool failed = false;
  for (int depth = 0; depth < 24; depth++)
    for (unsigned refused = 1; !is_over_without_refusal(call, depth, refused, &failed); refused++)
      assert_true(refused < 1000);
  assert_true(failed);
}

static void resolving_is_given_up(void **context) {
  (void)context;
  try_all("moongate.resolve('name.test')");
}

static void connecting_is_given_up(void **context) {
  (void)context;
  try_all("moongate.connect('name.test:80')");
}

static void connecting_with_tls_is_given_up(void **context) {
  (void)context;
  try_all("moongate.connect('name.test:80', { tls = { verify = false } })");
}

static void joining_is_given_up(void **context) {
  (void)context;
  try_all("moongate.spawn(function() moongate.sleep(9) end):join()");
}

/* The handle is over before the wait for it is cancelled. */
static void joining_what_is_cancelled_meanwhile_is_given_up(void **context) {
  (void)context;
  try_all("local t = moongate.spawn(function() moongate.sleep(9) end) held.cancelled = t t:join()");
}

static void receiving_is_given_up(void **context) {
  (void)context;
  try_all("local s = held[1] held[1] = nil s:receive(9, 'prefix')");
}

static void sending_is_given_up(void **context) {
  (void)context;
  try_all("local s = held[1] held[1] = nil s:send(('x'):rep(4000000))");
}

static void joined_sockets_are_given_up(void **context) {
  (void)context;
  try_all("local s, o = held[1], held[2] held[1], held[2] = nil, nil s:pipe(o)");
}

static void a_pipe_of_one_way_is_given_up(void **context) {
  (void)context;
  try_all("local s, o = held[1], held[2] held[1], held[2] = nil, nil s:settimeout(1) s:pipe(o, { bytes = 9 })");
}

static void sleeping_is_given_up(void **context) {
  (void)context;
  try_all("moongate.sleep(9)");
}

/* Nothing is left of the memory while it collects. */
static int collect(lua_State *L) {
  struct script_state *state = script_state_of(L);
  state->options.memory = state->memory_used;
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

static bool has_ended(int peer) {
  char byte;
  return read(peer, &byte, 1) == 0;
}

static void what_is_collected_is_closed_also_where_no_memory_is_left(void **context) {
  (void)context;
  for (int depth = 0; depth < 200; depth++) {
    struct wait_fixture fixture;
    struct outcome outcome;
    char code[512];
    begin_trial(&fixture);
    struct script_state *state = fixture.sockets.base.state;
    lua_pushcfunction(state->L, collect);
    lua_setglobal(state->L, "collect");
    snprintf(code, sizeof code,
             "local function run(held) collectgarbage() collectgarbage()\n"
             "local function down(n) if n == 0 then held = nil return (collect()) end return (down(n - 1)) end\n"
             "pcall(down, %d) end return run({ ... })",
             depth);
    fixture_start(&fixture.sockets.base, code, &outcome, push_sockets);
    state->options.memory = 0;
    assert_true(outcome.over);
    lua_gc(state->L, LUA_GCCOLLECT, 0);
    assert_true(has_ended(fixture.sockets.peers[0]) && has_ended(fixture.sockets.peers[1]));
    end_trial(&fixture);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(resolving_is_given_up),
      cmocka_unit_test(connecting_is_given_up),
      cmocka_unit_test(connecting_with_tls_is_given_up),
      cmocka_unit_test(joining_is_given_up),
      cmocka_unit_test(joining_what_is_cancelled_meanwhile_is_given_up),
      cmocka_unit_test(receiving_is_given_up),
      cmocka_unit_test(sending_is_given_up),
      cmocka_unit_test(joined_sockets_are_given_up),
      cmocka_unit_test(a_pipe_of_one_way_is_given_up),
      cmocka_unit_test(sleeping_is_given_up),
      cmocka_unit_test(what_is_collected_is_closed_also_where_no_memory_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
