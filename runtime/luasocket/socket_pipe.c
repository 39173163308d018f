/* SPDX-License-Identifier: MIT
 *
 * socket:pipe(other): joins two sockets natively (net/pipe.h) until both have ended, while the task waits. When one
 * breaks, or the pipe is cut short, the other is reset, whatever the script does with it afterwards: what was cut short
 * must not look like an end. */
#include "connection/class.h"
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

/* Where no route says it; and how often it is looked within such a time. */
enum { HALF_DEAD_MS = 30 * 1000, LOOKS = 8, FIRST_LOOK_MS = 10, LATE_MOST_MS = 500 };
static const lua_Number MOST_COUNTED = 9007199254740992.0; /* 2^53: Lua's numbers count no further */

/* The userdata's own, because it ends with the wait; its memory waits for the end of the round. */
struct socket_pipe {
  struct script_wait wait;
  struct pipe pipe;
  struct script_socket *sockets[2];
  uint64_t before[2];     /* bytes that had been written to each */
  unsigned ended, failed; /* bits by side */
  unsigned broken;        /* … that we have broken */
  bool is_cut;            /* ended by us: why the call ends is not what the sockets answer then */
  bool delivers;          /* one has failed, and the other is to take what was sent before it is reset */
  const char *error;
  clock_ms last_active;     /* where no connection keeps it */
  struct wheel_timer timer; /* a side has ended or broken behind bytes that the other does not take */
  struct socket_ends ends;
  uint64_t limit;  /* … for how long that may be so without progress */
  clock_ms since;  /* the last progress, or when it began */
  clock_ms looked; /* when `unsent` was taken */
  size_t unsent;   /* what the peers had not taken when it was looked last */
  struct deferred later, freeing;
};

static void on_socket_pipe_freeing(struct deferred *deferred) {
  free((char *)deferred - offsetof(struct socket_pipe, freeing));
}

static uint64_t written(const struct script_socket *socket) {
  const struct stream *stream = socket->stream;
  return stream != NULL && stream->tally != NULL ? stream->tally->own.out : 0;
}

/* The streams are the sockets' again; who piped to its end finds them ended. */
static void socket_pipe_finish(struct socket_pipe *joined) {
  struct loop *loop = joined->pipe.shared->loop;
  pipe_stop(&joined->pipe);
  for (int side = 0; side < 2; side++) {
    struct script_socket *socket = joined->sockets[side];
    socket->piped = NULL;
    if (socket->stream == NULL)
      continue;
    socket_take_events(socket);
    if (joined->ended & (1u << side))
      socket->ended = true;
    if (joined->ended & (1u << (1 - side)))
      socket->shut_send = true;
    if (joined->failed & (1u << side))
      socket->failure = joined->is_cut ? "closed" : joined->error;
    socket->broken_by_us = joined->broken & (1u << side);
  }
  loop_undefer(loop, &joined->later);
  loop_cancel_timer(loop, &joined->timer);
  loop_defer(loop, &joined->freeing);
}

static int push_piped(lua_State *L, void *context) {
  struct socket_pipe *joined = context;
  int extra = 0;
  if (joined->error != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, joined->error);
    extra = 2;
  }
  for (int side = 1; side >= 0; side--)
    lua_pushnumber(L, (lua_Number)(written(joined->sockets[side]) - joined->before[side]));
  return 2 + extra;
}

static void resume(struct socket_pipe *joined) {
  socket_pipe_finish(joined);
  task_resume_with(&joined->wait, push_piped, joined);
}

/* Not from within pipe_start(), where the task does not wait yet: hence deferred. */
static void on_later(struct deferred *deferred) {
  resume((struct socket_pipe *)(void *)((char *)deferred - offsetof(struct socket_pipe, later)));
}

/* What moves here is told to nobody else. */
static void on_socket_pipe_event(void *context) {
  const struct socket_pipe *joined = context;
  for (int side = 0; side < 2; side++) {
    struct exchange *exchange = script_run_exchange(joined->sockets[side]->run);
    socket_wake(joined->sockets[side]);
    if (exchange != NULL)
      exchange_wake(exchange);
  }
}

static size_t unsent_of(const struct socket_pipe *joined) {
  return stream_unsent(pipe_stream(&joined->pipe, 0)) + stream_unsent(pipe_stream(&joined->pipe, 1));
}

static void break_side(struct socket_pipe *joined, enum pipe_side side) {
  joined->failed |= 1u << side;
  joined->broken |= 1u << side;
  stream_break(pipe_stream(&joined->pipe, side));
}

static void cut(struct socket_pipe *joined, const char *error) {
  joined->is_cut = true;
  joined->error = error;
  for (enum pipe_side side = PIPE_CLIENT; side <= PIPE_TARGET; side++)
    break_side(joined, side);
  loop_defer(joined->pipe.shared->loop, &joined->later);
}

/* The connection, or who has spawned the task, ends while it waits. What has not gone out is lost then, and so is what
 * would have come, had bytes just been moving. Of the latter a client is told as the connection's end will have it. */
static void on_socket_pipe_cancel(struct script_wait *wait) {
  struct socket_pipe *joined = (struct socket_pipe *)(void *)((char *)wait - offsetof(struct socket_pipe, wait));
  bool moves = loop_now(joined->pipe.shared->loop) < *joined->pipe.last_active + CONNECTION_MOVING_MS;
  joined->is_cut = true;
  for (enum pipe_side side = PIPE_CLIENT; side <= PIPE_TARGET; side++)
    if (joined->ended != 3 && (pipe_pending(&joined->pipe, pipe_other(side)) > 0 || joined->delivers ||
                               (moves && !joined->sockets[side]->is_client)))
      break_side(joined, side);
  socket_pipe_finish(joined);
}

static void on_socket_pipe_ended(void *context, enum pipe_side side) {
  struct socket_pipe *joined = context;
  joined->ended |= 1u << side;
  if (joined->ended == 3)
    loop_defer(joined->pipe.shared->loop, &joined->later);
}

/* It takes what was sent to it, at whatever pace it has, and is reset then. */
static void socket_pipe_deliver(struct socket_pipe *joined) {
  enum pipe_side side = joined->failed & 1u ? PIPE_TARGET : PIPE_CLIENT;
  const struct stream *last = pipe_stream(&joined->pipe, side);
  struct loop *loop = joined->pipe.shared->loop;
  clock_ms now = loop_now(loop);
  size_t unsent = stream_is_broken(last) ? 0 : stream_unsent(last);
  if (unsent < joined->unsent)
    joined->since = now;
  if (unsent == 0 || now >= joined->since + joined->ends.linger) {
    break_side(joined, side);
    loop_defer(loop, &joined->later);
    return;
  }
  uint64_t look = 2 * (now - joined->looked), most = joined->ends.linger / LOOKS + 1;
  most = most < LATE_MOST_MS ? most : LATE_MOST_MS;
  joined->unsent = unsent;
  joined->looked = now;
  loop_set_timer(loop, &joined->timer, look < FIRST_LOOK_MS ? FIRST_LOOK_MS : look < most ? look : most);
}

static void on_socket_pipe_failed(void *context, enum pipe_side side, int status) {
  struct socket_pipe *joined = context;
  joined->failed |= 1u << side;
  joined->error = socket_failure_text(status);
  joined->delivers = true;
  joined->unsent = 0; /* what the first look finds is no progress */
  joined->since = joined->looked = loop_now(joined->pipe.shared->loop);
  socket_pipe_deliver(joined);
}

static bool is_breaking(const struct socket_pipe *joined) {
  return pipe_is_failing(&joined->pipe, PIPE_CLIENT) || pipe_is_failing(&joined->pipe, PIPE_TARGET);
}

static void on_socket_pipe_look(struct wheel_timer *timer) {
  struct socket_pipe *joined = (struct socket_pipe *)(void *)((char *)timer - offsetof(struct socket_pipe, timer));
  struct loop *loop = joined->pipe.shared->loop;
  if (joined->delivers && joined->failed != 3)
    socket_pipe_deliver(joined);
  if (joined->failed || !pipe_awaits_end(&joined->pipe))
    return;
  clock_ms now = loop_now(loop), active = *joined->pipe.last_active;
  size_t unsent = unsent_of(joined);
  if (unsent != joined->unsent)
    joined->since = now;
  else if (active > joined->since)
    joined->since = active;
  joined->unsent = unsent;
  if (now < joined->since + joined->limit)
    loop_set_timer(loop, timer, joined->limit / LOOKS + 1);
  else
    cut(joined, is_breaking(joined) ? "closed" : "timeout");
}

static void on_socket_pipe_ending(void *context, enum pipe_side side, int status) {
  struct socket_pipe *joined = context;
  struct loop *loop = joined->pipe.shared->loop;
  (void)side;
  joined->limit = status < 0 ? joined->ends.linger : joined->ends.half_dead;
  joined->since = loop_now(loop);
  joined->unsent = unsent_of(joined);
  if (joined->limit > 0)
    loop_set_timer(loop, &joined->timer, joined->limit / LOOKS + 1);
  else if (status < 0)
    cut(joined, "closed");
}

static const struct pipe_callbacks callbacks = {on_socket_pipe_event, on_socket_pipe_ending, on_socket_pipe_ended,
                                                on_socket_pipe_failed};

void socket_take_ends(struct socket_ends *ends, const struct exchange *exchange) {
  const struct route *route = exchange != NULL ? exchange_route(exchange) : NULL;
  *ends = (struct socket_ends){.half_dead = HALF_DEAD_MS, .linger = SOCKET_LINGER_MS};
  if (route == NULL)
    return;
  ends->linger = route->timeouts.linger;
  ends->half_dead = exchange_is_tls(exchange) ? route->timeouts.half_dead_tls : route->timeouts.half_dead;
}

static void check_free(lua_State *L, const struct script_socket *socket) {
  if (socket_has_reader(socket) || socket_has_writer(socket))
    luaL_error(L, "the socket is busy: another task is using it");
}

/* "bytes" of the options: a whole number. */
static uint64_t check_bytes(lua_State *L, int index) {
  lua_getfield(L, index, "bytes");
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return FLOW_TO_THE_END;
  }
  lua_Number count = lua_tonumber(L, -1);
  bool is_number = lua_type(L, -1) == LUA_TNUMBER;
  if (!is_number || !(count >= 0 && count <= MOST_COUNTED) || count != (lua_Number)(uint64_t)count)
    argument_error(L, index,
                   lua_pushfstring(L, "bytes = a whole number from 0 on expected, got %s",
                                   is_number ? lua_tostring(L, -1) : luaL_typename(L, -1)));
  lua_pop(L, 1);
  return (uint64_t)count;
}

/* Whether the options ask for one way, and for how many bytes: a count is always of one. */
static bool check_one_way(lua_State *L, int index, uint64_t *count) {
  static const char *const known[] = {"one_way", "bytes", NULL};
  *count = FLOW_TO_THE_END;
  if (lua_isnoneornil(L, index))
    return false;
  argument_check(L, lua_istable(L, index), index, "a table of options");
  argument_check_options(L, index, known);
  *count = check_bytes(L, index);
  lua_getfield(L, index, "one_way");
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
    argument_error(L, index, lua_pushfstring(L, "one_way = true or false expected, got %s", luaL_typename(L, -1)));
  bool is_false = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  if (is_false && *count != FLOW_TO_THE_END)
    argument_error(L, index, "bytes are counted one way: one_way = false contradicts them");
  bool one_way = lua_toboolean(L, -1) || *count != FLOW_TO_THE_END;
  lua_pop(L, 1);
  return one_way;
}

int socket_pipe(lua_State *L) {
  struct script_task *task = task_check(L);
  struct script_socket *sockets[2] = {socket_check(L, 1), socket_check(L, 2)};
  uint64_t count;
  if (sockets[0] == sockets[1])
    argument_error(L, 2, "another socket than this one");
  bool one_way = check_one_way(L, 3, &count);
  if (task->state->place->pipes == NULL)
    return luaL_error(L, "pipe is there on workers only");
  if (one_way)
    return socket_pipe_one_way(L, task, sockets[0], sockets[1], count);
  for (int side = 0; side < 2; side++) {
    check_free(L, sockets[side]);
    if (sockets[side]->stream == NULL || sockets[side]->failure != NULL) {
      lua_pushnil(L);
      lua_pushliteral(L, "closed");
      return 2;
    }
  }
  struct script_place *place = task->state->place;
  struct socket_pipe *joined = calloc(1, sizeof *joined);
  if (joined == NULL || socket_give_back(sockets[0]) != 0 || socket_give_back(sockets[1]) != 0) {
    free(joined);
    return luaL_error(L, "out of memory");
  }
  sockets[0]->cut_short = sockets[1]->cut_short = false;
  joined->later.run = on_later;
  joined->freeing.run = on_socket_pipe_freeing;
  joined->timer.on_expired = on_socket_pipe_look;
  for (int side = 0; side < 2; side++) {
    joined->sockets[side] = sockets[side];
    joined->before[side] = written(sockets[side]);
    sockets[side]->piped = &joined->wait;
  }
  struct exchange *exchange = script_run_exchange(task->run);
  socket_take_ends(&joined->ends, exchange);
  pipe_start(&joined->pipe, place->pipes, sockets[0]->stream, sockets[1]->stream, &callbacks, joined,
             exchange != NULL ? &exchange->last_active : &joined->last_active);
  joined->pipe.tells_events = true;
  on_socket_pipe_event(joined); /* something may have moved already */
  return task_wait(L, &joined->wait, on_socket_pipe_cancel);
}
