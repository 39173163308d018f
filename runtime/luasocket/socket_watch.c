/* SPDX-License-Identifier: MIT
 *
 * What tells a socket of a script's own that its peer has vanished, as connections have it (connection/deadline.c):
 * TCP's keep-alive probes, begun late because most sockets are too short-lived to need them; and a look, now and then,
 * whether a peer that was sent bytes is silent. Then it is as if the peer had reset. */
#include "connection/worker.h"
#include "luasocket/socket.h"
#include "net/silence.h"
#include "script/state.h"

#include <stddef.h>

/* When to look next; 0: never, as things are. */
static uint64_t next_watch(const struct script_socket *socket, const struct tcp_options *tcp, clock_ms now) {
  uint64_t look = socket->dozes ? 0 : tcp->unacknowledged_ms / SILENCE_LOOKS;
  if (socket->silent_since) {
    clock_ms end = socket->silent_since + tcp->unacknowledged_ms;
    look = end > now ? end - now : 1;
  }
  if (!tcp->keep_alive || socket->probed)
    return look;
  clock_ms due = socket->opened + tcp_options_probes_due(tcp);
  uint64_t left = due > now ? due - now : 1;
  return look && look < left ? look : left;
}

static void set_look(struct script_socket *socket, const struct tcp_options *tcp, clock_ms now) {
  uint64_t next = next_watch(socket, tcp, now);
  if (next > 0)
    loop_set_timer(socket->own->loop, &socket->look, next);
}

static void watch_peer(struct script_socket *socket, const struct tcp_options *tcp) {
  struct loop *loop = socket->own->loop;
  clock_ms now = clock_now(loop->clock);
  if (tcp->keep_alive && !socket->probed && now >= socket->opened + tcp_options_probes_due(tcp)) {
    socket->probed = true;
    tcp_options_keep_alive(socket->own->fd, tcp);
  }
  socket->dozes = stream_unsent(socket->own) == 0;
  if (!tcp->unacknowledged_ms || socket->dozes) {
    socket->silent_since = 0;
  } else if (silence_check(&socket->silent_since, socket->own->fd, now) >= tcp->unacknowledged_ms) {
    stream_break(socket->own);
    return;
  }
  set_look(socket, tcp, now);
}

static void on_watch_look(struct wheel_timer *timer) {
  struct script_socket *socket = (struct script_socket *)(void *)((char *)timer - offsetof(struct script_socket, look));
  const struct script_place *place = socket->state->place;
  if (place != NULL) /* the worker is not ending */
    watch_peer(socket, &place->worker->settings->tcp);
}

void socket_watch(struct script_socket *socket) {
  const struct worker *worker = socket->state->place->worker;
  if (worker == NULL)
    return;
  socket->look.on_expired = on_watch_look;
  set_look(socket, &worker->settings->tcp, socket->opened);
}

void socket_wake(struct script_socket *socket) {
  if (!socket->dozes)
    return;
  socket->dozes = false;
  set_look(socket, &socket->state->place->worker->settings->tcp, loop_now(socket->own->loop));
}
