/* SPDX-License-Identifier: MIT
 *
 * socket:pipe(other, { one_way = true, bytes = n }): bytes go from one socket to another natively (net/flow.h) while
 * the task waits, and the other direction stays the script's. Neither socket ends by it: what was read and could not be
 * passed on is read next from where it came. Only where the script ends in the middle of it, what was cut short must
 * not look like an end. */
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "net/flow.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

enum { LOOKS = 8 }; /* within a time that a full destination has */

/* Of the script's memory no part, because it ends with the wait; it is freed at the end of the round. */
struct socket_flow {
  struct script_wait wait;
  struct flow flow;
  struct script_socket *from, *to;
  const struct flow_shared *shared;
  uint64_t count;
  bool is_over; /* and to be told in the next round */
  const char *error;
  clock_ms unconnected_active, *last_active; /* the exchange's, where there is one */
  clock_ms began, moved;                     /* moved: when bytes last did; 0: never */
  clock_ms deadline;                         /* of the call */
  int64_t step_ms;                           /* negative: none */
  struct socket_ends ends;
  const char *bound_error; /* the source has ended or broken behind bytes that the destination does not take: what it
                              comes to when `bound` has passed without progress; NULL: it has not */
  uint64_t bound;          /* ms; 0: none */
  clock_ms bound_since;
  size_t unsent; /* what the destination's peer had not taken when it was looked last */
  struct wheel_timer timer;
  struct deferred again, freeing;
};

static struct loop *flow_loop(const struct socket_flow *moving) { return moving->shared->loop; }

static void on_flow_freeing(struct deferred *deferred) {
  free((char *)deferred - offsetof(struct socket_flow, freeing));
}

/* The sockets are the script's again. */
static void flow_detach(struct socket_flow *moving) {
  if (moving->from->flow_from != moving)
    return;
  if (flow_give_back(&moving->flow, moving->shared, &moving->from->ahead) != 0)
    moving->error = moving->from->failure = "out of memory";
  socket_count_ahead(moving->from);
  moving->from->flow_from = NULL;
  moving->to->flow_to = NULL;
}

static void flow_finish(struct socket_flow *moving) {
  struct loop *loop = flow_loop(moving);
  flow_detach(moving);
  loop_undefer(loop, &moving->again);
  loop_cancel_timer(loop, &moving->timer);
  loop_defer(loop, &moving->freeing);
}

/* How many bytes the other has taken; or nil, why no more, and how many. */
static int push_moved(lua_State *L, void *context) {
  const struct socket_flow *moving = context;
  if (moving->error != NULL) {
    lua_pushnil(L);
    lua_pushstring(L, moving->error);
  }
  lua_pushnumber(L, (lua_Number)flow_moved(&moving->flow, moving->count));
  return moving->error != NULL ? 3 : 1;
}

static void resume_flow(struct socket_flow *moving) {
  flow_finish(moving);
  task_resume_with(&moving->wait, push_moved, moving);
}

/* --- time --- */

static clock_ms earlier(clock_ms a, clock_ms b) { return a < b ? a : b; }

static clock_ms step_end(const struct socket_flow *moving) {
  clock_ms since = moving->moved > moving->began ? moving->moved : moving->began;
  return moving->step_ms < 0 ? CLOCK_NEVER : since + (clock_ms)moving->step_ms;
}

static clock_ms bound_end(const struct socket_flow *moving) {
  return moving->bound_error == NULL || moving->bound == 0 ? CLOCK_NEVER : moving->bound_since + moving->bound;
}

/* Bytes that move set no timer: it looks again when the time that it first knew has come. */
static void set_flow_timer(struct socket_flow *moving) {
  clock_ms now = loop_now(flow_loop(moving)), next = earlier(moving->deadline, step_end(moving));
  if (bound_end(moving) != CLOCK_NEVER)
    next = earlier(next, earlier(bound_end(moving), now + moving->bound / LOOKS + 1));
  if (next != CLOCK_NEVER)
    loop_set_timer(flow_loop(moving), &moving->timer, next > now ? next - now : 0);
}

static void on_flow_timer(struct wheel_timer *timer) {
  struct socket_flow *moving = (struct socket_flow *)(void *)((char *)timer - offsetof(struct socket_flow, timer));
  clock_ms now = loop_now(flow_loop(moving));
  if (moving->bound_error != NULL) {
    size_t unsent = stream_unsent(moving->to->stream);
    if (unsent != moving->unsent)
      moving->bound_since = now;
    moving->unsent = unsent;
  }
  if (now >= earlier(moving->deadline, step_end(moving)))
    moving->error = "timeout";
  else if (now >= bound_end(moving))
    moving->error = moving->bound_error;
  if (moving->error != NULL)
    resume_flow(moving);
  else
    set_flow_timer(moving);
}

/* The destination takes nothing more, and the source may have ended or broken behind what stands there (on_ending in
 * net/pipe.h). True when that ends it at once. */
static bool note_bound(struct socket_flow *moving) {
  const struct stream *from = moving->from->stream;
  bool broken = stream_is_broken(from);
  const char *error = broken ? "closed" : from->readiness & STREAM_ENDED ? "timeout" : NULL;
  if (error == moving->bound_error)
    return false;
  moving->bound_error = error;
  moving->bound = broken ? moving->ends.linger : moving->ends.half_dead;
  moving->bound_since = loop_now(flow_loop(moving));
  moving->unsent = stream_unsent(moving->to->stream);
  if (broken && moving->bound == 0) {
    moving->error = error;
    return true;
  }
  set_flow_timer(moving);
  return false;
}

/* --- */

static void note_moved(struct socket_flow *moving) {
  const struct script_run *run = moving->wait.task != NULL ? moving->wait.task->run : moving->to->run;
  moving->moved = moving->bound_since = loop_now(flow_loop(moving));
  socket_wake(moving->from);
  socket_wake(moving->to);
  struct exchange *exchange = script_run_exchange(run);
  if (exchange != NULL)
    exchange_wake(exchange);
}

/* The source has no more. */
static const char *source_error(struct socket_flow *moving) {
  struct script_socket *from = moving->from;
  if (moving->flow.status != 0 && from->failure == NULL)
    from->failure = socket_failure_text(moving->flow.status);
  if (from->failure != NULL)
    return from->failure;
  if (!from->shut_receive)
    from->ended = true;
  return moving->count == FLOW_TO_THE_END ? NULL : "closed";
}

/* Moves what goes now. True when it is over, well or with an error. */
static bool advance(struct socket_flow *moving) {
  struct flow *flow = &moving->flow;
  if (moving->from->shut_receive)
    flow->ended = true;
  uint64_t before = flow_moved(flow, moving->count), left = flow->left;
  enum flow_result result = flow_move(flow, moving->shared, moving->last_active);
  if (flow_moved(flow, moving->count) != before || flow->left != left)
    note_moved(moving);
  switch (result) {
  case FLOW_WAITS: /* a destination that is gone is told by nothing else, as long as the source is silent */
    moving->bound_error = NULL;
    if (moving->to->stream->readiness & STREAM_FAILED)
      moving->error = "closed";
    return moving->error != NULL;
  case FLOW_FULL:
    return note_bound(moving);
  case FLOW_AGAIN:
    loop_defer(flow_loop(moving), &moving->again);
    return false;
  case FLOW_OVER:
    if (flow->left > 0)
      moving->error = source_error(moving);
    return true;
  case FLOW_BROKEN:
    moving->error = socket_failure_text(flow->status);
    return true;
  }
  return false;
}

void socket_flow_on(struct socket_flow *moving) {
  if (!moving->is_over && advance(moving))
    resume_flow(moving);
}

static void on_flow_again(struct deferred *deferred) {
  struct socket_flow *moving = (struct socket_flow *)(void *)((char *)deferred - offsetof(struct socket_flow, again));
  if (moving->is_over || advance(moving))
    resume_flow(moving);
}

/* Somebody goes on with the sockets, perhaps; else who gets the bytes must not take what it has for all: where some are
 * lost or missing for sure, or where they were just moving. Of the latter a client is told as the connection's end will
 * have it. */
static void on_flow_cancel(struct script_wait *wait) {
  struct socket_flow *moving = (struct socket_flow *)(void *)((char *)wait - offsetof(struct socket_flow, wait));
  bool moves = moving->moved > 0 && loop_now(flow_loop(moving)) < moving->moved + CONNECTION_MOVING_MS;
  bool misses = !moving->is_over && !moving->flow.ended &&
                (moving->count != FLOW_TO_THE_END || (moves && !moving->to->is_client));
  if (misses || flow_held(&moving->flow) > 0)
    moving->to->cut_short = true;
  flow_finish(moving);
}

bool socket_flow_is_quiet(const struct script_wait *wait, clock_ms now) {
  if (wait->cancel != on_flow_cancel)
    return false;
  const struct socket_flow *moving =
      (const struct socket_flow *)(const void *)((const char *)wait - offsetof(struct socket_flow, wait));
  return moving->count == FLOW_TO_THE_END && flow_held(&moving->flow) == 0 &&
         (moving->moved == 0 || now >= moving->moved + CONNECTION_MOVING_MS);
}

void socket_flows_let_go(struct script_socket *socket) {
  if (socket->flow_from != NULL)
    task_disarm(&socket->flow_from->wait);
  if (socket->flow_to != NULL)
    task_disarm(&socket->flow_to->wait);
}

static void end_flow(struct socket_flow *moving) {
  if (moving == NULL)
    return;
  flow_detach(moving);
  if (!moving->is_over)
    moving->error = "closed";
  moving->is_over = true;
  loop_cancel_timer(flow_loop(moving), &moving->timer);
  loop_defer(flow_loop(moving), &moving->again);
}

void socket_flows_end(struct script_socket *socket) {
  end_flow(socket->flow_from);
  end_flow(socket->flow_to);
}

/* What was read ahead goes first; behind that, a source that is known to have ended or failed is not read again. */
static void pass_ahead(struct socket_flow *moving) {
  struct script_socket *from = moving->from;
  size_t size;
  const uint8_t *bytes = socket_bytes_ahead(from, &size);
  if (size > 0) {
    socket_consume(from, flow_pass(&moving->flow, bytes, size));
    note_moved(moving);
  }
  socket_keep_fresh(from);
  if (from->ended || from->failure != NULL)
    moving->flow.ended = true;
}

static struct socket_flow *flow_new(struct script_task *task, struct script_socket *from, struct script_socket *to,
                                    uint64_t count) {
  struct socket_flow *moving = calloc(1, sizeof *moving);
  if (moving == NULL)
    return NULL;
  struct exchange *exchange = script_run_exchange(task->run);
  const struct socket_time *time = &from->receive_time;
  moving->from = from;
  moving->to = to;
  moving->shared = task->state->place->pipes;
  moving->count = count;
  moving->last_active = exchange != NULL ? &exchange->last_active : &moving->unconnected_active;
  moving->began = loop_now(flow_loop(moving));
  moving->deadline = time->call_ms < 0 ? CLOCK_NEVER : moving->began + (clock_ms)time->call_ms;
  moving->step_ms = time->step_ms;
  moving->timer.on_expired = on_flow_timer;
  moving->again.run = on_flow_again;
  moving->freeing.run = on_flow_freeing;
  socket_take_ends(&moving->ends, exchange);
  flow_begin(&moving->flow, from->stream, to->stream, count);
  from->flow_from = to->flow_to = moving;
  to->cut_short = false;
  return moving;
}

int socket_pipe_one_way(lua_State *L, struct script_task *task, struct script_socket *from, struct script_socket *to,
                        uint64_t count) {
  if (socket_has_reader(from))
    return luaL_error(L, "the socket is busy: another task is reading from it");
  if (socket_has_writer(to) || socket_is_shaking(to))
    return luaL_error(L, "the other socket is busy: another task is sending on it");
  if (from->stream == NULL || to->stream == NULL || to->shut_send || to->failure != NULL) {
    socket_nil_closed(L);
    lua_pushinteger(L, 0);
    return 3;
  }
  struct socket_flow *moving = flow_new(task, from, to, count);
  if (moving == NULL)
    return luaL_error(L, "out of memory");
  bool polls = socket_polls(&from->receive_time);
  if (polls) { /* who polls wants to know, not to hear of it in the next event */
    from->stream->readiness |= STREAM_READABLE;
    to->stream->readiness |= STREAM_WRITABLE;
  }
  pass_ahead(moving);
  moving->is_over = advance(moving);
  if (!moving->is_over && polls) {
    moving->is_over = true;
    moving->error = "timeout";
  }
  if (moving->is_over && !task_has_had_its_turn(task)) {
    flow_finish(moving);
    return push_moved(L, moving);
  }
  if (moving->is_over)
    loop_defer(flow_loop(moving), &moving->again);
  else
    set_flow_timer(moving);
  return task_wait(L, &moving->wait, on_flow_cancel);
}
