/* SPDX-License-Identifier: MIT
 *
 * Connecting to one target: its name is resolved, and its addresses are raced (RFC 8305, 5): families alternate, what
 * has failed lately comes last (dial/failures.h), the next one begins when the one before has failed or has not
 * answered for 250 ms, and the first that connects wins. One deadline covers all of it, the SYN that nobody answers
 * included. Which target comes next is its user's to say. */
#pragma once

#include "core/loop.h"
#include "dial/failures.h"
#include "names/resolve.h"
#include "net/address.h"
#include "net/tcp_options.h"

#include <stdint.h>

enum { DIAL_ATTEMPT_DELAY_MS = 250 }; /* RFC 8305, 8 */

/* A worker's. */
struct dialer {
  struct loop *loop;
  struct resolver *resolver;
  struct failures *failures; /* all workers'; NULL: nothing is remembered */
  struct tcp_options tcp;
  int descriptors; /* a socket from this number on is one too many: -EMFILE. 0: any will do */
  uint16_t
      first_local_port; /* the kernel chooses ports for us from here on (ip_local_port_range, ip(7)); 0: not known */
};

void dialer_init(struct dialer *dialer, struct loop *loop, struct resolver *resolver, const struct tcp_options *tcp);

/* 0 and a connected, non-blocking, close-on-exec descriptor that is now the callee's (no event of ours is left on it);
 * or a negative errno and -1: -ETIMEDOUT when the deadline passed, -EINVAL or -ENAMETOOLONG for a host that is none,
 * the resolver's status for names (-ENOENT, -EAGAIN, …), -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS when this machine has run
 * out, else what the last address failed with: -ECONNREFUSED, -EHOSTUNREACH, …, and -ENXIO for a unix socket that is
 * not there, since -ENOENT is a name's. `peer` is the address that was connected or failed last; NULL when there was
 * none; valid during the call only. */
typedef void dial_done_fn(void *context, int status, int fd, const struct endpoint *peer);

/* Nothing has come of it for `patience_ms`; it goes on. Called once at most. May cancel the dial. */
typedef void dial_slow_fn(void *context);

struct dial_terms {
  uint64_t ms;          /* for all of it, names included */
  uint64_t patience_ms; /* 0: `slow` is not called */
  dial_done_fn *done;
  dial_slow_fn *slow;
  void *context;
};

struct dial;

/* Begins to connect to `host` (a name, a literal, or "unix:/path") at `port`. Returns NULL when `done` has been called
 * already (also with -ENOMEM). Nothing given is kept. `tcp` of the dialer is read at each attempt. */
struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, const struct dial_terms *terms);

/* The same to an address that is known (`port` of it is not looked at). */
struct dial *dial_start_address(struct dialer *dialer, const struct ip_address *address, uint16_t port,
                                const struct dial_terms *terms);

/* From now on it is somebody else who is told. `slow` is not called any more. */
void dial_hand_over(struct dial *dial, dial_done_fn *done, void *context);

/* Within `done`, unless dial_start() has not returned yet: how long the address that has won took to answer. */
uint64_t dial_took_ms(const struct dial *dial);

/* Tells of each address that is being tried. */
void dial_each_address(const struct dial *dial, void (*each)(void *context, const struct endpoint *address),
                       void *context);

/* Closes a descriptor that was dialled and is not wanted after all, with a reset: its target must not take it for a
 * client that came and went. */
void dial_discard(int fd);

/* It has failed with -ETIMEDOUT before its time, which is remembered of its addresses; else as dial_cancel(). */
void dial_give_up(struct dial *dial);

/* `done` will not be called; whatever was open is reset. NULL is nothing. Never within or after the dial's own `done`.
 */
void dial_cancel(struct dial *dial);
