/* SPDX-License-Identifier: MIT
 *
 * A listening socket of one thread. It accepts what has arrived; its loop has a spare descriptor, so that it can refuse
 * politely when there are none left, and it pauses then. Who is accepted, and what becomes of it, is its user's. */
#pragma once

#include "core/error.h"
#include "core/loop.h"
#include "net/address.h"
#include "net/tcp_options.h"

struct listener;

struct listener_callbacks {
  /* `fd` is non-blocking and close-on-exec, and now the callee's. */
  void (*on_accept)(void *context, int fd, const struct sockaddr *peer, socklen_t length);
  /* accept4 failed: -EMFILE or -ENFILE (one connection was refused by means of the spare descriptor where that could be
   * done, and accepting pauses for LISTENER_PAUSE_MS), -ENOMEM, -ENOBUFS. Errors of a single connection (ECONNABORTED,
   * …) are passed over. */
  void (*on_refused)(void *context, int status);
};

enum { LISTENER_PAUSE_MS = 100, LISTENER_BACKLOG = 4096 };

/* 0, or -EADDRINUSE and the like when the endpoint is owned by someone else: binds without SO_REUSEPORT and lets go
 * again. `error` names the endpoint and what to do. The port 0 is always free. */
int listener_probe(const struct endpoint *endpoint, struct error *error);

/* The same where this process has the port already, maybe at another address: its own listeners are not in the way. */
int listener_probe_beside_own(const struct endpoint *endpoint, struct error *error);

/* Binds and listens, with SO_REUSEPORT (TCP), so that each worker can have its own. An IPv6 wildcard takes IPv4 too. A
 * port of 0 is given by the kernel: listener_endpoint() tells which. A unix path is bound by a new socket with `mode`
 * 0600 that takes the place of a dead one; -EADDRINUSE when somebody answers on it. NULL: see `error`. `callbacks`
 * outlives the listener; `tcp` may be NULL, and is not kept. */
struct listener *listener_open(struct loop *loop, const struct endpoint *endpoint, const struct tcp_options *tcp,
                               const struct listener_callbacks *callbacks, void *context, struct error *error);

/* The same, but nothing is accepted before listener_start(): until then, clients wait in the queue. Any thread, like
 * listener_discard(), which resets them; from listener_start() on the listener is its loop's. */
struct listener *listener_prepare(struct loop *loop, const struct endpoint *endpoint, const struct tcp_options *tcp,
                                  const struct listener_callbacks *callbacks, void *context, struct error *error);
void listener_start(struct listener *listener);
void listener_discard(struct listener *listener);

/* Accepts on the socket of `other` too, by a descriptor of its own, which is below `descriptors` (0: any): a listener
 * of any thread, which does not close meanwhile, but may at any time afterwards. To be started. */
struct listener *listener_share(struct loop *loop, const struct listener *other, int descriptors,
                                const struct listener_callbacks *callbacks, void *context, struct error *error);

/* Nothing more is accepted before the next listener_start(): clients wait in the queue. From its callbacks, too. */
void listener_pause(struct listener *listener);

const struct endpoint *listener_endpoint(const struct listener *listener);

/* Closes what was accepted by a reset: an end would look like an answer. */
void listener_refuse(int fd);

/* Goes towards listener_close() in pieces: accepts `most` at most of what waits in the queue. True: it is empty, or has
 * been refilled for so long that it may be closed all the same. As often as wanted. */
bool listener_empty(struct listener *listener, unsigned most);

/* No more is accepted; what waits in the queue is accepted first (a close would reset it). Must not be called from the
 * listener's own callbacks. NULL is nothing. */
void listener_close(struct listener *listener);
