/* SPDX-License-Identifier: MIT
 *
 * The epoll set in which a loop waits: the sockets that move bytes, edge-triggered, listeners, dials, and libevent's
 * own set, which is served when it has something. So a wake for bytes is one system call, and adding a socket to a set
 * that stands in no other takes no lock of the whole machine.
 *
 * Why not libevent for these too: 2.1 reports EPOLLERR as "readable and writable", which is also what an edge-triggered
 * event of a healthy socket looks like, so that a reader could not stop at a short read without risking to miss a
 * reset; and it costs 128 bytes and an epoll_ctl(2) at the close of each socket. */
#pragma once

#include <stdbool.h>
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
  struct event_base *base;        /* the loop's, whose set is in ours; NULL: ours is in that one */
  struct poll_source base_source; /* stands for it */
  bool base_is_ready;
  struct event *event;        /* ours in libevent's; NULL: the other way round */
  struct poll_source **batch; /* the sources of the events being delivered, NULL where forgotten; NULL outside */
  int batch_next, batch_size;
};

/* `is_inner`: the loop has no thread of its own, and `base` is another's: served from there. 0 or a negative errno. */
int poller_init(struct poller *poller, struct event_base *base, bool is_inner);
void poller_deinit(struct poller *poller);

/* Serves what is ready, libevent's last; `wait`: until something is. Not of an inner one. */
void poller_serve(struct poller *poller, bool wait);

/* Watches `fd`, edge-triggered, until it is closed: for EPOLLIN, urgent data and whatever kind of end, not yet for
 * EPOLLOUT, which a new socket would only answer with an event for nothing. 0 or a negative errno (-ENOSPC, -ENOMEM).
 */
int poller_add(struct poller *poller, int fd, struct poll_source *source);

/* From now on for EPOLLOUT too; when it is writable already there is an event at once. */
int poller_add_writable(struct poller *poller, int fd, struct poll_source *source);

/* Watches `fd` for `events` (EPOLLIN, EPOLLOUT), level-triggered, until poller_unwatch(), which comes before its close.
 * 0 or a negative errno (-ENOSPC, -ENOMEM). */
int poller_watch(struct poller *poller, int fd, uint32_t events, struct poll_source *source);

/* No event reaches `source` any more; nothing where it is not watched. */
void poller_unwatch(struct poller *poller, int fd, const struct poll_source *source);

/* To be called when the socket is closed: no event that is already fetched reaches `source` any more. */
void poller_forget(struct poller *poller, const struct poll_source *source);
