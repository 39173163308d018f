/* SPDX-License-Identifier: MIT
 *
 * Connecting to one target: its name is resolved, its addresses are tried one after the other, and one deadline covers
 * all of it, the SYN that nobody answers included. Which target comes next is its user's to say. */
#pragma once

#include "core/loop.h"
#include "net/address.h"
#include "net/resolve.h"
#include "net/tcp_options.h"

#include <stdint.h>

/* A worker's. */
struct dialer {
  struct loop *loop;
  struct resolver *resolver;
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
 * not there, since -ENOENT is a name's. `peer` is the address that was connected or tried last; NULL when there was
 * none; valid during the call only. */
typedef void dial_done_fn(void *context, int status, int fd, const struct endpoint *peer);

struct dial;

/* Begins to connect to `host` (a name, a literal, or "unix:/path") at `port`, with `ms` in all (names included); when
 * several addresses are to be tried, each gets its share of what is left. Returns NULL when `done` has been called
 * already (also with -ENOMEM). `host` is not kept. `tcp` of the dialer is read at each attempt. */
struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, uint64_t ms, dial_done_fn *done,
                        void *context);

/* The same to an address that is known (`port` of it is not looked at). */
struct dial *dial_start_address(struct dialer *dialer, const struct ip_address *address, uint16_t port, uint64_t ms,
                                dial_done_fn *done, void *context);

/* `done` will not be called; whatever was open is closed. NULL is nothing. Never within or after the dial's own `done`.
 */
void dial_cancel(struct dial *dial);
