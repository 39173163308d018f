/* SPDX-License-Identifier: MIT
 *
 * The phases of a dial: resolving, then connecting (or, for a unix socket whose queue is full, pausing) for each
 * address in turn. One wheel timer serves them all. A connection to this machine is usually there when connect(2)
 * returns, and then no event, no timer and no further round is spent on it. */
#include "net/dial.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  LONGEST_MS = 24 * 3600 * 1000, /* so that no sum of times overflows */
  FIRST_PAUSE_MS = 1,
  LONGEST_PAUSE_MS = 32,
};

enum dial_phase { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_PAUSING, DIAL_OVER };

struct dial {
  struct dialer *dialer;
  dial_done_fn *done;
  void *context;
  struct resolve_request *request;
  struct endpoint *addresses; /* &single, or on the heap */
  unsigned count, index;      /* index: of the address that is being tried */
  enum dial_phase phase;
  int fd;
  uint16_t port;
  bool inside_start; /* nobody else knows the dial yet: it may be freed at once */
  uint32_t pause_ms;
  uint64_t ms;               /* in all */
  clock_ms deadline;         /* of all; 0 before anything has been waited for */
  clock_ms attempt_deadline; /* of the present address; likewise */
  struct wheel_timer timer;
  struct deferred freeing;
  struct poll_source source;
  struct endpoint single;
};

static void try_addresses(struct dial *dial);

void dialer_init(struct dialer *dialer, struct loop *loop, struct resolver *resolver, const struct tcp_options *tcp) {
  *dialer = (struct dialer){.loop = loop, .resolver = resolver, .tcp = *tcp};
  FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
  if (!range)
    return;
  if (fscanf(range, "%" SCNu16, &dialer->first_local_port) != 1)
    dialer->first_local_port = 0;
  fclose(range);
}

static struct dial *dial_of_timer(struct wheel_timer *timer) {
  return (struct dial *)(void *)((char *)timer - offsetof(struct dial, timer));
}

static void dial_free(struct dial *dial) {
  if (dial->addresses != &dial->single)
    free(dial->addresses);
  free(dial);
}

static void on_dial_freeing(struct deferred *deferred) {
  dial_free((struct dial *)(void *)((char *)deferred - offsetof(struct dial, freeing)));
}

static void close_socket(struct dial *dial) {
  if (dial->fd >= 0)
    close(dial->fd);
  dial->fd = -1;
}

/* The end. On success the descriptor goes to the callee. */
static void dial_finish(struct dial *dial, int status) {
  loop_cancel_timer(dial->dialer->loop, &dial->timer);
  dial->phase = DIAL_OVER;
  int fd = -1;
  if (status == 0) {
    fd = dial->fd;
    dial->fd = -1;
  } else {
    close_socket(dial);
  }
  const struct endpoint *peer = NULL;
  if (dial->count > 0)
    peer = &dial->addresses[dial->index < dial->count ? dial->index : dial->count - 1];
  dial->done(dial->context, status, fd, peer);
  if (!dial->inside_start) {
    dial->freeing.run = on_dial_freeing;
    loop_defer(dial->dialer->loop, &dial->freeing);
  }
}

static bool machine_ran_out(int status) {
  return status == -EMFILE || status == -ENFILE || status == -ENOMEM || status == -ENOBUFS;
}

/* The present address failed: the next one, or the end. */
static void fail_attempt(struct dial *dial, int status) {
  close_socket(dial);
  if (dial->index + 1 >= dial->count || machine_ran_out(status)) {
    dial_finish(dial, status);
    return;
  }
  dial->index++;
  dial->pause_ms = 0;
  dial->attempt_deadline = 0;
  try_addresses(dial);
}

/* The first wait begins the deadlines: most targets of this machine and of its network never need a clock. */
static void begin_deadlines(struct dial *dial, clock_ms now) {
  if (dial->deadline == 0)
    dial->deadline = now + dial->ms;
  if (dial->attempt_deadline == 0) {
    uint64_t left = dial->deadline > now ? dial->deadline - now : 0;
    dial->attempt_deadline = now + left / (dial->count - dial->index);
  }
}

static void wait_until_attempt_deadline(struct dial *dial, uint64_t at_most_ms) {
  clock_ms now = clock_now(dial->dialer->loop->clock);
  begin_deadlines(dial, now);
  uint64_t left = dial->attempt_deadline > now ? dial->attempt_deadline - now : 0;
  loop_set_timer(dial->dialer->loop, &dial->timer, left < at_most_ms ? left : at_most_ms);
}

static bool is_loopback(const struct endpoint *endpoint) {
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint->storage);
  return ip_address_is_loopback(&address);
}

/* A connection to a port of this machine on which nobody listens may get that very port as its own, and then TCP's
 * simultaneous open (RFC 9293 section 3.5) connects it to itself, and takes the port from the target that wants to
 * start. */
static bool is_self_connected(const struct dial *dial) {
  const struct endpoint *peer = &dial->addresses[dial->index];
  if (peer->storage.ss_family == AF_UNIX || endpoint_port(peer) < dial->dialer->first_local_port)
    return false;
  struct endpoint own = {.length = sizeof own.storage};
  if (getsockname(dial->fd, (struct sockaddr *)&own.storage, &own.length) != 0)
    return false;
  struct ip_address ours, theirs;
  ip_address_from_sockaddr(&ours, (const struct sockaddr *)&own.storage);
  ip_address_from_sockaddr(&theirs, (const struct sockaddr *)&peer->storage);
  return ours.port == theirs.port && memcmp(ours.bytes, theirs.bytes, sizeof ours.bytes) == 0;
}

static void connected(struct dial *dial) {
  if (is_self_connected(dial))
    fail_attempt(dial, -ECONNREFUSED);
  else
    dial_finish(dial, 0);
}

static void unwatch_dial(struct dial *dial) { poller_unwatch(&dial->dialer->loop->poller, dial->fd, &dial->source); }

static void on_connect_over(struct poll_source *source, uint32_t events) {
  struct dial *dial = (struct dial *)(void *)((char *)source - offsetof(struct dial, source));
  (void)events;
  assert(dial->phase == DIAL_CONNECTING);
  unwatch_dial(dial);
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    error = errno;
  if (error != 0)
    fail_attempt(dial, -error);
  else
    connected(dial);
}

static int open_socket(struct dial *dial) {
  int family = dial->addresses[dial->index].storage.ss_family;
  dial->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (dial->fd < 0)
    return -errno;
  if (dial->dialer->descriptors && dial->fd >= dial->dialer->descriptors)
    return -EMFILE;
  return family == AF_UNIX ? 0 : tcp_options_apply(dial->fd, &dial->dialer->tcp);
}

/* 0, or a negative errno of which -EINPROGRESS means to wait for writability and -EAGAIN (unix) to try again later. */
static int connect_socket(const struct dial *dial) {
  const struct endpoint *peer = &dial->addresses[dial->index];
  const struct sockaddr *sockaddr = (const struct sockaddr *)&peer->storage;
  if (connect(dial->fd, sockaddr, peer->length) == 0)
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
    error = connect(dial->fd, sockaddr, peer->length) == 0 ? 0 : errno;
    if (error == EALREADY)
      error = EINPROGRESS;
  }
  return -error;
}

/* Tries the present address; those that fail at once lead to the next by way of fail_attempt(), at most
 * RESOLVE_MAX_ADDRESSES deep. */
static void try_addresses(struct dial *dial) {
  int status = dial->fd >= 0 ? 0 : open_socket(dial);
  if (status == 0)
    status = connect_socket(dial);
  if (status == 0) {
    connected(dial);
  } else if (status == -EINPROGRESS) {
    dial->phase = DIAL_CONNECTING;
    if (poller_watch(&dial->dialer->loop->poller, dial->fd, EPOLLOUT, &dial->source) != 0)
      fail_attempt(dial, -ENOMEM);
    else
      wait_until_attempt_deadline(dial, LONGEST_MS);
  } else if (status == -EAGAIN && dial->fd >= 0) {
    /* The queue of the unix socket is full, and nothing tells when it is not. */
    dial->phase = DIAL_PAUSING;
    dial->pause_ms = dial->pause_ms == 0 ? FIRST_PAUSE_MS : dial->pause_ms * 2;
    if (dial->pause_ms > LONGEST_PAUSE_MS)
      dial->pause_ms = LONGEST_PAUSE_MS;
    wait_until_attempt_deadline(dial, dial->pause_ms);
  } else {
    fail_attempt(dial, status);
  }
}

static void on_dial_expired(struct wheel_timer *timer) {
  struct dial *dial = dial_of_timer(timer);
  switch (dial->phase) {
  case DIAL_RESOLVING:
    resolve_cancel(dial->request);
    dial->request = NULL;
    dial_finish(dial, -ETIMEDOUT);
    break;
  case DIAL_CONNECTING:
    unwatch_dial(dial);
    fail_attempt(dial, -ETIMEDOUT);
    break;
  case DIAL_PAUSING:
    if (clock_now(dial->dialer->loop->clock) >= dial->attempt_deadline)
      fail_attempt(dial, -ETIMEDOUT);
    else
      try_addresses(dial);
    break;
  case DIAL_OVER:
    assert(false);
  }
}

static void on_dial_resolved(void *context, const struct resolve_result *result) {
  struct dial *dial = context;
  dial->request = NULL;
  if (result->status != 0) {
    dial_finish(dial, result->status);
    return;
  }
  if (result->count > 1) {
    struct endpoint *addresses = malloc(result->count * sizeof *addresses);
    if (!addresses) {
      dial_finish(dial, -ENOMEM);
      return;
    }
    dial->addresses = addresses;
  }
  memcpy(dial->addresses, result->addresses, result->count * sizeof *dial->addresses);
  dial->count = result->count;
  for (unsigned i = 0; i < dial->count; i++)
    endpoint_set_port(&dial->addresses[i], dial->port);
  try_addresses(dial);
}

/* 0 when `host` is an address, -ENOENT when it is a name. */
static int address_of_host(struct dial *dial, const char *host) {
  static const char unix_prefix[] = "unix:";
  int status;
  if (strncmp(host, unix_prefix, sizeof unix_prefix - 1) == 0) {
    status = endpoint_from_unix_path(&dial->single, host + sizeof unix_prefix - 1);
  } else {
    status = endpoint_from_literal(&dial->single, host, dial->port);
    if (status != 0)
      return -ENOENT;
  }
  if (status == 0)
    dial->count = 1;
  return status;
}

static struct dial *dial_new(struct dialer *dialer, uint16_t port, uint64_t ms, dial_done_fn *done, void *context) {
  struct dial *dial = calloc(1, sizeof *dial);
  if (!dial) {
    done(context, -ENOMEM, -1, NULL);
    return NULL;
  }
  dial->dialer = dialer;
  dial->done = done;
  dial->context = context;
  dial->addresses = &dial->single;
  dial->fd = -1;
  dial->port = port;
  dial->inside_start = true;
  dial->ms = ms < LONGEST_MS ? ms : LONGEST_MS;
  dial->timer.on_expired = on_dial_expired;
  dial->source.on_event = on_connect_over;
  return dial;
}

static struct dial *begun_dial(struct dial *dial) {
  if (dial->phase == DIAL_OVER) {
    dial_free(dial);
    return NULL;
  }
  dial->inside_start = false;
  return dial;
}

static void resolve_host(struct dial *dial, const char *host) {
  struct dialer *dialer = dial->dialer;
  dial->phase = DIAL_RESOLVING;
  dial->deadline = clock_now(dialer->loop->clock) + dial->ms;
  struct resolve_request *request = resolve_start(dialer->resolver, host, on_dial_resolved, dial);
  if (request) {
    dial->request = request;
    loop_set_timer(dialer->loop, &dial->timer, dial->ms);
  }
}

struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t ms, dial_done_fn *done,
                        void *context) {
  struct dial *dial = dial_new(dialer, port, ms, done, context);
  if (!dial)
    return NULL;
  int status = address_of_host(dial, host);
  if (status == 0)
    try_addresses(dial);
  else if (status == -ENOENT)
    resolve_host(dial, host);
  else
    dial_finish(dial, status);
  return begun_dial(dial);
}

struct dial *dial_start_address(struct dialer *dialer, const struct ip_address *address, uint16_t port, uint64_t ms,
                                dial_done_fn *done, void *context) {
  struct dial *dial = dial_new(dialer, port, ms, done, context);
  if (!dial)
    return NULL;
  endpoint_from_address(&dial->single, address, port);
  dial->count = 1;
  try_addresses(dial);
  return begun_dial(dial);
}

void dial_cancel(struct dial *dial) {
  if (!dial)
    return;
  assert(dial->phase != DIAL_OVER);
  if (dial->phase == DIAL_RESOLVING)
    resolve_cancel(dial->request);
  if (dial->phase == DIAL_CONNECTING)
    unwatch_dial(dial);
  loop_cancel_timer(dial->dialer->loop, &dial->timer);
  close_socket(dial);
  dial_free(dial);
}
