/* SPDX-License-Identifier: MIT
 *
 * The socket of one attempt to connect. A connection to this machine is usually there when connect(2) returns, and then
 * no event, no timer and no further round is spent on it. */
#include "dial/dial_private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static const struct endpoint *attempt_peer(const struct attempt *attempt) {
  return &attempt->dial->addresses[attempt->index];
}

static bool is_loopback(const struct endpoint *endpoint) {
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint->storage);
  return ip_address_is_loopback(&address);
}

/* A connection to a port of this machine on which nobody listens may get that very port as its own, and then TCP's
 * simultaneous open (RFC 9293 section 3.5) connects it to itself, and takes the port from the target that wants to
 * start. */
static bool is_self_connected(const struct attempt *attempt) {
  const struct endpoint *peer = attempt_peer(attempt);
  if (peer->storage.ss_family == AF_UNIX || endpoint_port(peer) < attempt->dial->dialer->first_local_port)
    return false;
  struct endpoint own = {.length = sizeof own.storage};
  if (getsockname(attempt->fd, (struct sockaddr *)&own.storage, &own.length) != 0)
    return false;
  struct ip_address ours, theirs;
  ip_address_from_sockaddr(&ours, (const struct sockaddr *)&own.storage);
  ip_address_from_sockaddr(&theirs, (const struct sockaddr *)&peer->storage);
  return ours.port == theirs.port && memcmp(ours.bytes, theirs.bytes, sizeof ours.bytes) == 0;
}

static int status_of_connected(const struct attempt *attempt) { return is_self_connected(attempt) ? -ECONNREFUSED : 0; }

static int open_socket(struct attempt *attempt) {
  const struct dialer *dialer = attempt->dial->dialer;
  int family = attempt_peer(attempt)->storage.ss_family;
  attempt->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (attempt->fd < 0)
    return -errno;
  if (dialer->descriptors && attempt->fd >= dialer->descriptors)
    return -EMFILE;
  return family == AF_UNIX ? 0 : tcp_options_apply(attempt->fd, &dialer->tcp);
}

static int connect_socket(const struct attempt *attempt) {
  const struct endpoint *peer = attempt_peer(attempt);
  const struct sockaddr *sockaddr = (const struct sockaddr *)&peer->storage;
  if (connect(attempt->fd, sockaddr, peer->length) == 0)
    return 0;
  int error = errno;
  if (peer->storage.ss_family == AF_UNIX) /* -ENOENT is for names */
    return error == ENOENT || error == ENOTDIR ? -ENXIO : -error;
  if (error == EAGAIN) /* no local port is left */
    return -EADDRNOTAVAIL;
  if (error == EINTR)
    error = EINPROGRESS;
  /* The handshake over loopback is done within connect(2), though it says EINPROGRESS: asking once more is cheaper than
   * an event. */
  if (error == EINPROGRESS && is_loopback(peer)) {
    error = connect(attempt->fd, sockaddr, peer->length) == 0 ? 0 : errno;
    if (error == EALREADY)
      error = EINPROGRESS;
  }
  return -error;
}

int attempt_connect(struct attempt *attempt) {
  int status = attempt->fd >= 0 ? 0 : open_socket(attempt);
  if (status == 0)
    status = connect_socket(attempt);
  return status == 0 ? status_of_connected(attempt) : status;
}

int attempt_watch(struct attempt *attempt, poll_event_fn *on_event) {
  attempt->source.on_event = on_event;
  return poller_watch(&attempt->dial->dialer->loop->poller, attempt->fd, EPOLLOUT, &attempt->source);
}

void attempt_unwatch(struct attempt *attempt) {
  poller_unwatch(&attempt->dial->dialer->loop->poller, attempt->fd, &attempt->source);
}

int attempt_status(const struct attempt *attempt) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  return error == 0 ? status_of_connected(attempt) : -error;
}

void dial_discard(int fd) {
  static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(fd);
}

/* One may have connected in the same moment as the winner, or behind our back. */
void attempt_drop(struct attempt *attempt) {
  if (attempt->fd >= 0)
    dial_discard(attempt->fd);
  attempt->fd = -1;
}
