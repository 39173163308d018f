/* SPDX-License-Identifier: MIT
 *
 * How a socket of a script's own ends once the script has let go of it: the sending side is shut down, what still comes
 * is discarded until the peer ends as well, or goes on although it has been told, and only then it is closed. Closed at
 * once, with input unread, it would reset the peer, and take from it what it has not had yet. Bounded by a time without
 * progress, and by one in all. */
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "script/state.h"

#include <stddef.h>
#include <stdlib.h>

enum { LOOK_MS = SOCKET_LINGER_MS / 8, DISCARD_ROUNDS = 16 };

static void linger_finish(struct script_socket *socket, bool reset) {
  struct loop *loop = socket->own->loop;
  list_remove(&socket->node);
  loop_cancel_timer(loop, &socket->look);
  loop_undefer(loop, &socket->discarding);
  stream_close(socket->own, reset);
  socket->lingering = false;
  if (socket->collected)
    loop_defer(loop, &socket->freeing);
}

/* A peer that goes on when it has the end is told that nobody listens any more. */
static void linger_discard(struct script_socket *socket, bool goes_on) {
  uint8_t bytes[16 * 1024];
  for (int round = 0; stream_may_read(socket->own); round++) {
    if (round == DISCARD_ROUNDS) {
      loop_defer(socket->own->loop, &socket->discarding);
      return;
    }
    ssize_t got = stream_read(socket->own, bytes, sizeof bytes);
    if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE)
      return;
    if (got <= 0 || (goes_on && stream_end_arrived(socket->own))) {
      linger_finish(socket, got > 0);
      return;
    }
  }
}

static void on_linger_ready(struct stream *stream, void *context) {
  (void)stream;
  linger_discard(context, true);
}

static void on_linger_again(struct deferred *deferred) {
  linger_discard((struct script_socket *)(void *)((char *)deferred - offsetof(struct script_socket, discarding)), true);
}

static void on_linger_look(struct wheel_timer *timer) {
  struct script_socket *socket = (struct script_socket *)(void *)((char *)timer - offsetof(struct script_socket, look));
  struct loop *loop = socket->own->loop;
  clock_ms now = loop_now(loop);
  size_t unsent = stream_unsent(socket->own);
  if (unsent > 0 && unsent < socket->unsent)
    socket->linger_until = now + SOCKET_LINGER_MS < socket->linger_end ? now + SOCKET_LINGER_MS : socket->linger_end;
  socket->unsent = unsent;
  if (now >= socket->linger_until)
    linger_finish(socket, unsent > 0);
  else
    loop_set_timer(loop, timer, socket->linger_until - now < LOOK_MS ? socket->linger_until - now : LOOK_MS);
}

void socket_linger(struct script_socket *socket, struct script_place *place) {
  struct loop *loop = socket->own->loop;
  socket->lingering = true;
  list_add_tail(&place->lingering, &socket->node);
  socket->own->on_ready = on_linger_ready;
  socket->own->context = socket;
  socket->discarding.run = on_linger_again;
  socket->look.on_expired = on_linger_look;
  socket->unsent = 0; /* what the first look finds is no progress */
  socket->linger_until = loop_now(loop) + SOCKET_LINGER_MS;
  socket->linger_end = loop_now(loop) + CONNECTION_CLOSING_MOST_MS;
  loop_set_timer(loop, &socket->look, LOOK_MS);
  linger_discard(socket, false);
}

void script_place_close_lingering(struct script_place *place) {
  while (!list_is_empty(&place->lingering))
    linger_finish(LIST_OWNER(place->lingering.next, struct script_socket, node), false);
}
