/* SPDX-License-Identifier: MIT
 *
 * What wakes the tasks that wait on a socket: its stream, their timers, its closing. Both of a socket's tasks are
 * resumed from here, the reader first. */
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

static struct loop *loop_of(const struct script_socket *socket) { return socket->state->place->loop; }

const char *socket_error_text(int status) {
  switch (-status) {
  case ECONNRESET:
  case EPIPE:
  case ENOTCONN:
  case ECONNABORTED:
    return "closed";
  case ETIMEDOUT:
    return "timeout";
  case ECONNREFUSED:
    return "connection refused";
  case ENXIO: /* a unix socket, see dial_done_fn */
    return "No such file or directory";
  case ENOENT:
  case EINVAL:
  case ENAMETOOLONG:
    return "host or service not provided, or not known";
  case EAGAIN:
    return "temporary failure in name resolution";
  case EHOSTUNREACH:
    return "No route to host";
  case ENETUNREACH:
    return "Network is unreachable";
  case EACCES:
  case EPERM:
    return "permission denied";
  case EPROTO:
    return "protocol error";
  case -STREAM_REFUSED:
    return "PROXY header refused";
  case EKEYREJECTED:
    return "certificate not trusted";
  case ENODATA:
    return "truncated";
  case EMFILE:
  case ENFILE:
    return "no file descriptors left";
  case ENOMEM:
  case ENOBUFS:
    return "out of memory";
  default:
    return "failed";
  }
}

const char *socket_failure_text(int status) {
  switch (-status) {
  case ETIMEDOUT: /* probes in vain; these as well, where a router has said why meanwhile */
  case EHOSTUNREACH:
  case ENETUNREACH:
  case EHOSTDOWN:
  case ECONNREFUSED:
  case ENOPROTOOPT:
    return "closed";
  default:
    return socket_error_text(status);
  }
}

void socket_touch(struct script_socket *socket, const struct script_task *task) {
  const struct script_run *run = socket->run != NULL ? socket->run : task != NULL ? task->run : NULL;
  struct exchange *exchange = script_run_exchange(run);
  socket_wake(socket);
  if (exchange == NULL)
    return;
  exchange_touch(exchange);
  exchange_wake(exchange);
}

static void disarm_reader(struct script_socket *socket) { loop_cancel_timer(loop_of(socket), &socket->reader.timer); }

static void disarm_writer(struct script_socket *socket) { loop_cancel_timer(loop_of(socket), &socket->writer.timer); }

static void resume_reader(struct script_socket *socket) {
  struct socket_reader *reader = &socket->reader;
  disarm_reader(socket);
  if (reader->wanted == WANTED_FEED && reader->error == NULL) { /* a number needs no memory, and so no protection */
    lua_pushinteger(reader->wait.task->coroutine, socket_feed(socket));
    task_resume(&reader->wait, 1);
    return;
  }
  task_resume_with(&reader->wait, socket_push_received, socket);
}

static void resume_writer(struct script_socket *socket) {
  disarm_writer(socket);
  task_resume_with(&socket->writer.wait, socket_push_sent, socket);
}

/* No callee frees the socket before deferred work, whatever the tasks do with it. */
static void socket_look(struct script_socket *socket) {
  if (socket->reader.wait.task != NULL && socket_read_on(socket))
    resume_reader(socket);
  if (socket->writer.wait.task != NULL && socket_write_on(socket))
    resume_writer(socket);
  if (socket->flow_from != NULL)
    socket_flow_on(socket->flow_from);
  if (socket->flow_to != NULL)
    socket_flow_on(socket->flow_to);
}

/* A handler's client is gone for good, and nobody waits on the socket to be told so: what the handler waits for
 * elsewhere is of use to nobody. */
static bool is_abandoned(const struct script_socket *socket) {
  const struct stream *stream = socket->stream;
  return socket->is_client && socket->run != NULL && !socket_has_reader(socket) && !socket_has_writer(socket) &&
         (stream->readiness & STREAM_FAILED) && stream_is_broken(stream);
}

static void on_stream_ready(struct stream *stream, void *context) {
  struct script_socket *socket = context;
  (void)stream;
  if (is_abandoned(socket))
    exchange_close(socket->run->exchange, PIPE_CLIENT, CLOSE_RESET);
  else
    socket_look(socket);
}

static void on_socket_wake(struct deferred *deferred) {
  socket_look((struct script_socket *)(void *)((char *)deferred - offsetof(struct script_socket, wake)));
}

static void on_read_timeout(struct wheel_timer *timer) {
  struct script_socket *socket =
      (struct script_socket *)(void *)((char *)timer - offsetof(struct script_socket, reader.timer));
  socket->reader.error = "timeout";
  resume_reader(socket);
}

static void on_write_timeout(struct wheel_timer *timer) {
  struct script_socket *socket =
      (struct script_socket *)(void *)((char *)timer - offsetof(struct script_socket, writer.timer));
  socket->writer.error = "timeout";
  resume_writer(socket);
}

static void on_read_cancel(struct script_wait *wait) {
  struct script_socket *socket =
      (struct script_socket *)(void *)((char *)wait - offsetof(struct script_socket, reader.wait));
  disarm_reader(socket);
  buffer_free(socket->reader.prefix);
  socket->reader.prefix = NULL;
}

static void on_write_cancel(struct script_wait *wait) {
  disarm_writer((struct script_socket *)(void *)((char *)wait - offsetof(struct script_socket, writer.wait)));
}

/* The timer stands at the deadline of the call, or of its present step. */
static void socket_set_timer(struct loop *loop, struct wheel_timer *timer, clock_ms deadline, int64_t step_ms) {
  clock_ms now = loop_now(loop), due = deadline;
  if (step_ms >= 0 && now + (clock_ms)step_ms < due)
    due = now + (clock_ms)step_ms;
  if (due != CLOCK_NEVER)
    loop_set_timer(loop, timer, due > now ? due - now : 0);
}

static clock_ms deadline_in(struct loop *loop, int64_t ms) {
  return ms < 0 ? CLOCK_NEVER : loop_now(loop) + (clock_ms)ms;
}

void socket_restart_step(struct script_socket *socket, bool reading) {
  const struct socket_time *time = reading ? &socket->receive_time : &socket->send_time;
  if (time->step_ms < 0)
    return;
  if (reading && socket->reader.wait.task != NULL)
    socket_set_timer(loop_of(socket), &socket->reader.timer, socket->reader.deadline, time->step_ms);
  else if (!reading && socket->writer.wait.task != NULL)
    socket_set_timer(loop_of(socket), &socket->writer.timer, socket->writer.deadline, time->step_ms);
}

static void begin_shaking(struct script_socket *socket, int64_t ms) {
  struct loop *loop = loop_of(socket);
  socket->reader.wanted = WANTED_TLS;
  socket->reader.deadline = deadline_in(loop, ms);
  socket_set_timer(loop, &socket->reader.timer, socket->reader.deadline, SOCKET_NO_TIMEOUT);
  loop_defer(loop, &socket->wake);
}

int socket_wait_to_shake(lua_State *L, struct script_socket *socket, int64_t ms) {
  begin_shaking(socket, ms);
  return task_wait(L, &socket->reader.wait, on_read_cancel);
}

void socket_shake_instead(struct script_wait *of, struct script_socket *socket, int64_t ms) {
  begin_shaking(socket, ms);
  task_wait_instead(of, &socket->reader.wait, on_read_cancel);
}

int socket_wait_to_read(lua_State *L, struct script_socket *socket, bool turn_over) {
  struct loop *loop = loop_of(socket);
  socket->reader.deadline = turn_over ? CLOCK_NEVER : deadline_in(loop, socket->receive_time.call_ms);
  if (turn_over)
    loop_defer(loop, &socket->wake);
  else
    socket_set_timer(loop, &socket->reader.timer, socket->reader.deadline, socket->receive_time.step_ms);
  return task_wait(L, &socket->reader.wait, on_read_cancel);
}

int socket_wait_to_write(lua_State *L, struct script_socket *socket, bool turn_over) {
  struct loop *loop = loop_of(socket);
  socket->writer.deadline = turn_over ? CLOCK_NEVER : deadline_in(loop, socket->send_time.call_ms);
  if (turn_over)
    loop_defer(loop, &socket->wake);
  else
    socket_set_timer(loop, &socket->writer.timer, socket->writer.deadline, socket->send_time.step_ms);
  return task_wait(L, &socket->writer.wait, on_write_cancel);
}

static void on_socket_freeing(struct deferred *deferred) {
  struct script_socket *socket =
      (struct script_socket *)(void *)((char *)deferred - offsetof(struct script_socket, freeing));
  buffer_free(socket->reader.prefix);
  free(socket->host);
  free(socket);
}

void socket_take_events(struct script_socket *socket) {
  socket->stream->on_ready = on_stream_ready;
  socket->stream->context = socket;
}

static size_t size_of(const struct script_socket *socket) {
  return sizeof *socket + (socket->is_client ? 0 : sizeof socket->own[0]);
}

void socket_prepare(struct script_socket *socket, struct script_state *state) {
  socket->state = state;
  list_add_tail(&state->sockets, &socket->held);
  state->memory_used += size_of(socket);
  socket->receive_time = socket->send_time = (struct socket_time){SOCKET_NO_TIMEOUT, SOCKET_NO_TIMEOUT};
  socket->opened = loop_now(state->place->loop);
  socket->wake.run = on_socket_wake;
  socket->freeing.run = on_socket_freeing;
  socket->reader.timer.on_expired = on_read_timeout;
  socket->writer.timer.on_expired = on_write_timeout;
  socket_take_events(socket);
  list_init(&socket->node);
  list_init(&socket->mine);
}

void socket_collected(struct script_socket *socket) {
  struct loop *loop = loop_of(socket);
  disarm_reader(socket);
  disarm_writer(socket);
  loop_undefer(loop, &socket->wake);
  socket->collected = true;
  socket_forget_ahead(socket);
  socket->state->memory_used -= size_of(socket);
  socket->state = NULL;
  if (socket->lingering)
    return;
  loop_cancel_timer(loop, &socket->look);
  loop_defer(loop, &socket->freeing);
}

static void break_cut_short(struct script_socket *socket) {
  if (!socket->cut_short)
    return;
  socket->failure = "closed";
  socket->broken_by_us = true;
  stream_break(socket->stream);
}

void socket_close(struct script_socket *socket) {
  struct stream *stream = socket->stream;
  if (stream == NULL)
    return;
  stream->on_ready = NULL;
  break_cut_short(socket);
  socket->stream = NULL;
  if (!socket->shut_send)
    stream_shutdown(stream);
  socket->shut_send = true;
  socket_forget_ahead(socket);
  loop_defer(loop_of(socket), &socket->wake);
  if (socket->is_client)
    return;
  loop_cancel_timer(loop_of(socket), &socket->look);
  if (socket->ended || (socket->failure != NULL && !socket->handshake_failed))
    stream_close(stream, false);
  else
    socket_linger(socket, socket->state->place);
}

int socket_give_back(struct script_socket *socket) {
  size_t size = buffer_size(socket->ahead);
  int status = size > 0 ? stream_unread(socket->stream, buffer_bytes(socket->ahead), size) : 0;
  if (status == 0)
    socket_forget_ahead(socket);
  return status;
}

int socket_detach(struct script_socket *socket, bool give_back) {
  struct stream *stream = socket->stream;
  int status = 0;
  loop_cancel_timer(loop_of(socket), &socket->look);
  if (stream != NULL) {
    stream->on_ready = NULL;
    break_cut_short(socket);
    socket->stream = NULL;
    if (give_back && buffer_size(socket->ahead) > 0)
      status = stream_unread(stream, buffer_bytes(socket->ahead), buffer_size(socket->ahead));
  }
  socket_forget_ahead(socket);
  loop_undefer(loop_of(socket), &socket->wake);
  socket->run = NULL;
  return status;
}
