/* SPDX-License-Identifier: MIT
 *
 * Accepting. The event is level-triggered, so that what one wake leaves in the queue brings the next; how many are
 * taken in a wake follows how many there were lately. How listening sockets come to be is net/listener_socket.c. */
#include "net/listener.h"

#include "net/listener_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
  LARGEST_BATCH = 64,
  LARGEST_PATIENCE = 32,
  LAST_ACCEPTS = 2 * LISTENER_BACKLOG, /* before it is closed, should they come faster than we take them */
};

struct listener {
  struct loop *loop;
  const struct listener_callbacks *callbacks;
  void *context;
  struct listening_socket socket;
  unsigned batch;
  unsigned patience, full_wakes; /* how many wakes have to use up their batch, and did, before it grows */
  bool inside_callback;
  bool is_paused;   /* by listener_pause() */
  unsigned emptied; /* by listener_empty() */
  struct wheel_timer pause;
  struct poll_source source;
};

enum accepted { ACCEPTED, ACCEPTED_NONE, ACCEPT_FAILED };

/* The loop's, one for all its listeners; there may be thousands of them. -1: it could not be opened (again). */
static int have_spare(struct loop *loop) {
  if (loop->spare_fd < 0)
    loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return loop->spare_fd;
}

static void pause_accepting(struct listener *listener) {
  poller_unwatch(&listener->loop->poller, listener->socket.fd, &listener->source);
  loop_set_timer(listener->loop, &listener->pause, LISTENER_PAUSE_MS);
}

void listener_pause(struct listener *listener) {
  poller_unwatch(&listener->loop->poller, listener->socket.fd, &listener->source);
  loop_cancel_timer(listener->loop, &listener->pause);
  listener->is_paused = true;
}

void listener_start(struct listener *listener) {
  listener->is_paused = false;
  have_spare(listener->loop);
  int status = poller_watch(&listener->loop->poller, listener->socket.fd, EPOLLIN, &listener->source);
  if (status != 0 && status != -EEXIST)
    loop_set_timer(listener->loop, &listener->pause, LISTENER_PAUSE_MS);
}

static void on_pause_over(struct wheel_timer *timer) {
  listener_start((struct listener *)(void *)((char *)timer - offsetof(struct listener, pause)));
}

void listener_refuse(int fd) {
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(fd);
}

/* Without a descriptor the client would wait in the queue for as long as we have none. */
static void refuse_one(struct listener *listener) {
  struct loop *loop = listener->loop;
  if (loop->spare_fd < 0)
    return;
  close(loop->spare_fd);
  loop->spare_fd = -1;
  int fd = accept4(listener->socket.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0)
    listener_refuse(fd);
  have_spare(loop);
}

/* Errors of the connection that is being accepted, not ours (accept(2), "Error handling"); it has left the queue. */
static bool is_connection_error(int error) {
  switch (error) {
  case ECONNABORTED:
  case EINTR:
  case EPROTO:
  case EPERM: /* a firewall's rule */
  case ENETDOWN:
  case ENOPROTOOPT:
  case EHOSTDOWN:
  case ENONET:
  case EHOSTUNREACH:
  case ENETUNREACH:
  case EOPNOTSUPP:
  case ETIMEDOUT:
    return true;
  default:
    return false;
  }
}

static enum accepted accept_one(struct listener *listener) {
  struct sockaddr_storage peer;
  socklen_t length = sizeof peer;
  int fd = accept4(listener->socket.fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    listener->inside_callback = true;
    listener->callbacks->on_accept(listener->context, fd, (const struct sockaddr *)&peer, length);
    listener->inside_callback = false;
    return ACCEPTED;
  }
  int error = errno;
  if (error == EAGAIN || error == EWOULDBLOCK)
    return ACCEPTED_NONE;
  if (is_connection_error(error))
    return ACCEPTED;
  if (error == EMFILE || error == ENFILE)
    refuse_one(listener);
  listener->inside_callback = true;
  listener->callbacks->on_refused(listener->context, -error);
  listener->inside_callback = false;
  return ACCEPT_FAILED;
}

/* A batch that was used up may mean that more are waiting, but one that is larger than the queue costs an accept4(2)
 * for nothing. So it grows when it was used up `patience` times in a row, and growing in vain asks for more patience:
 * connections that come one by one are taken by one call each, and a flood soon in large batches. */
static void adapt_batch(struct listener *listener, bool used_up) {
  if (!used_up) {
    if (listener->batch > 1 && listener->patience < LARGEST_PATIENCE)
      listener->patience *= 2;
    listener->batch = 1;
    listener->full_wakes = 0;
    return;
  }
  if (listener->batch > 1)
    listener->patience = 1;
  listener->full_wakes++;
  if (listener->full_wakes < listener->patience)
    return;
  listener->full_wakes = 0;
  if (listener->batch < LARGEST_BATCH)
    listener->batch *= 2;
}

static void on_clients_wait(struct poll_source *source, uint32_t events) {
  struct listener *listener = (struct listener *)(void *)((char *)source - offsetof(struct listener, source));
  (void)events;
  for (unsigned i = 0; i < listener->batch && !listener->is_paused; i++) {
    switch (accept_one(listener)) {
    case ACCEPTED:
      break;
    case ACCEPTED_NONE:
      adapt_batch(listener, false);
      return;
    case ACCEPT_FAILED:
      pause_accepting(listener);
      return;
    }
  }
  adapt_batch(listener, true);
}

/* One without a socket. */
static struct listener *listener_new(struct loop *loop, const struct listener_callbacks *callbacks, void *context,
                                     struct error *error) {
  struct listener *listener = calloc(1, sizeof *listener);
  if (!listener) {
    error_set(error, ENOMEM, "not enough memory for a listener");
    return NULL;
  }
  *listener = (struct listener){.loop = loop,
                                .callbacks = callbacks,
                                .context = context,
                                .socket.fd = -1,
                                .batch = 1,
                                .patience = 1,
                                .pause.on_expired = on_pause_over,
                                .source.on_event = on_clients_wait};
  return listener;
}

struct listener *listener_prepare(struct loop *loop, const struct endpoint *endpoint, const struct tcp_options *tcp,
                                  const struct listener_callbacks *callbacks, void *context, struct error *error) {
  struct listener *listener = listener_new(loop, callbacks, context, error);
  if (!listener)
    return NULL;
  if (listening_socket_open(&listener->socket, endpoint, tcp, error) == 0)
    return listener;
  free(listener);
  return NULL;
}

struct listener *listener_share(struct loop *loop, const struct listener *other, int descriptors,
                                const struct listener_callbacks *callbacks, void *context, struct error *error) {
  struct listener *listener = listener_new(loop, callbacks, context, error);
  if (!listener)
    return NULL;
  listener->socket.endpoint = other->socket.endpoint;
  int fd = fcntl(other->socket.fd, F_DUPFD_CLOEXEC, 0);
  if (fd >= 0 && (descriptors == 0 || fd < descriptors)) {
    listener->socket.fd = fd;
    return listener;
  }
  error_set(error, fd < 0 ? errno : EMFILE, "no file descriptor is left; raise the limit (ulimit -n)");
  if (fd >= 0)
    close(fd);
  free(listener);
  return NULL;
}

struct listener *listener_open(struct loop *loop, const struct endpoint *endpoint, const struct tcp_options *tcp,
                               const struct listener_callbacks *callbacks, void *context, struct error *error) {
  struct listener *listener = listener_prepare(loop, endpoint, tcp, callbacks, context, error);
  if (listener)
    listener_start(listener);
  return listener;
}

const struct endpoint *listener_endpoint(const struct listener *listener) { return &listener->socket.endpoint; }

void listener_discard(struct listener *listener) {
  listening_socket_close(&listener->socket);
  free(listener);
}

bool listener_empty(struct listener *listener, unsigned most) {
  assert(!listener->inside_callback);
  for (unsigned i = 0; i < most && listener->emptied < LAST_ACCEPTS; i++, listener->emptied++)
    if (accept_one(listener) != ACCEPTED)
      return true;
  return listener->emptied == LAST_ACCEPTS;
}

void listener_close(struct listener *listener) {
  if (!listener)
    return;
  poller_unwatch(&listener->loop->poller, listener->socket.fd, &listener->source);
  loop_cancel_timer(listener->loop, &listener->pause);
  listener_empty(listener, LAST_ACCEPTS);
  listener_discard(listener);
}
