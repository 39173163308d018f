/* SPDX-License-Identifier: MIT
 *
 * What wakes the tasks that wait on a socket: its stream, their timers, its closing. Both of a socket's tasks are
 * resumed from here, the reader first. */
#include "connection/connection.h"
#include "script/host.h"
#include "script/socket.h"
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

void socket_touch(const struct script_socket *socket, const struct script_task *task) {
  const struct script_run *run = socket->run != NULL ? socket->run : task != NULL ? task->run : NULL;
  if (run != NULL)
    connection_touch(run->connection);
}

static void disarm_reader(struct script_socket *socket) { loop_cancel_timer(loop_of(socket), &socket->reader.timer); }

static void disarm_writer(struct script_socket *socket) { loop_cancel_timer(loop_of(socket), &socket->writer.timer); }

static void resume_reader(struct script_socket *socket) {
  disarm_reader(socket);
  task_resume_with(&socket->reader.wait, socket_push_received, socket);
}

static void resume_writer(struct script_socket *socket) {
  disarm_writer(socket);
  task_resume_with(&socket->writer.wait, socket_push_sent, socket);
}

/* Neither callee frees the socket before deferred work, whatever the tasks do with it. */
static void look(struct script_socket *socket) {
  if (socket->reader.wait.task != NULL && socket_read_on(socket))
    resume_reader(socket);
  if (socket->writer.wait.task != NULL && socket_write_on(socket))
    resume_writer(socket);
}

static void on_ready(struct stream *stream, void *context) {
  (void)stream;
  look(context);
}

static void on_wake(struct deferred *deferred) {
  look((struct script_socket *)(void *)((char *)deferred - offsetof(struct script_socket, wake)));
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

int socket_wait_to_read(lua_State *L, struct script_socket *socket, bool turn_over) {
  if (turn_over)
    loop_defer(loop_of(socket), &socket->wake);
  if (socket->timeout_ms >= 0 && !turn_over)
    loop_set_timer(loop_of(socket), &socket->reader.timer, (uint64_t)socket->timeout_ms);
  return task_wait(L, &socket->reader.wait, on_read_cancel);
}

int socket_wait_to_write(lua_State *L, struct script_socket *socket, bool turn_over) {
  if (turn_over)
    loop_defer(loop_of(socket), &socket->wake);
  if (socket->timeout_ms >= 0 && !turn_over)
    loop_set_timer(loop_of(socket), &socket->writer.timer, (uint64_t)socket->timeout_ms);
  return task_wait(L, &socket->writer.wait, on_write_cancel);
}

static void on_freeing(struct deferred *deferred) {
  struct script_socket *socket =
      (struct script_socket *)(void *)((char *)deferred - offsetof(struct script_socket, freeing));
  buffer_free(socket->ahead);
  buffer_free(socket->reader.prefix);
  free(socket);
}

void socket_take_events(struct script_socket *socket) {
  socket->stream->on_ready = on_ready;
  socket->stream->context = socket;
}

void socket_prepare(struct script_socket *socket, struct script_state *state) {
  socket->state = state;
  socket->timeout_ms = SOCKET_NO_TIMEOUT;
  socket->wake.run = on_wake;
  socket->freeing.run = on_freeing;
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
  socket->state = NULL;
  if (!socket->lingering)
    loop_defer(loop, &socket->freeing);
}

void socket_close(struct script_socket *socket) {
  struct stream *stream = socket->stream;
  if (stream == NULL)
    return;
  stream->on_ready = NULL;
  socket->stream = NULL;
  if (!socket->shut_send)
    stream_shutdown(stream);
  socket->shut_send = true;
  loop_defer(loop_of(socket), &socket->wake);
  if (socket->is_client)
    return;
  if (socket->ended || socket->failure != NULL)
    stream_close(stream, false);
  else
    socket_linger(socket, socket->state->place);
}

int socket_detach(struct script_socket *socket, bool give_back) {
  struct stream *stream = socket->stream;
  int status = 0;
  if (stream != NULL) {
    stream->on_ready = NULL;
    socket->stream = NULL;
    if (give_back && buffer_size(socket->ahead) > 0)
      status = stream_unread(stream, buffer_bytes(socket->ahead), buffer_size(socket->ahead));
  }
  loop_undefer(loop_of(socket), &socket->wake);
  socket->run = NULL;
  return status;
}
