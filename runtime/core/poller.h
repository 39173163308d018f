/* SPDX-License-Identifier: MIT
 *
 * The readiness of the sockets that move bytes: an edge-triggered epoll set of the loop's own, nested in libevent's.
 * Everything else (listeners, DNS, signals, messages) is libevent's directly.
 *
 * Why not libevent for these too: 2.1 reports EPOLLERR as "readable and writable", which is also what an edge-triggered
 * event of a healthy socket looks like, so that a reader could not stop at a short read without risking to miss a
 * reset; and it costs 128 bytes and an epoll_ctl(2) at the close of each socket. */
#pragma once

#include <stdint.h>

struct event;
struct event_base;
struct poll_source;

/* `events`: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLPRI, EPOLLHUP, EPOLLERR. */
typedef void poll_event_fn(struct poll_source *source, uint32_t events);

/* Embedded in what has the socket. */
struct poll_source {
  poll_event_fn *on_event;
};

enum { POLLER_BATCH = 128 };

struct poller {
  int fd;
  struct event *event;
  struct poll_source **batch; /* the sources of the events being delivered, NULL where forgotten; NULL outside */
  int batch_next, batch_size;
};

int poller_init(struct poller *poller, struct event_base *base);
void poller_deinit(struct poller *poller);

/* Watches `fd`, edge-triggered, until it is closed: for EPOLLIN, urgent data and whatever kind of end, not yet for
 * EPOLLOUT, which a new socket would only answer with an event for nothing. 0 or a negative errno (-ENOSPC, -ENOMEM).
 */
int poller_add(struct poller *poller, int fd, struct poll_source *source);

/* From now on for EPOLLOUT too; when it is writable already there is an event at once. */
int poller_add_writable(struct poller *poller, int fd, struct poll_source *source);

/* To be called when the socket is closed: no event that is already fetched reaches `source` any more. */
void poller_forget(struct poller *poller, const struct poll_source *source);
