/* SPDX-License-Identifier: MIT
 *
 * Peers that vanish while bytes are on their way to them. The kernel sends no keep-alive probes then, but the bytes
 * again (or asks for room, where there was none), and decides by tcp_retries2, after a quarter of an hour.
 * TCP_USER_TIMEOUT would bound that, but ends a peer too that is there and has merely stopped reading: it answers what
 * asks for room. So it is looked now and then whether anything comes back. */
#pragma once

#include "core/clock.h"

#include <stdint.h>

/* How many times it is looked in the time that a peer may be silent. */
enum { SILENCE_LOOKS = 4 };

/* Looks at the TCP socket `fd`, to which bytes are on their way (stream_unsent()). For how many ms, of the time that it
 * has been looked, nothing at all has come back; `*since`: when that was seen first, kept between looks, 0: it is not
 * so. A look at any other socket finds nothing. */
uint64_t silence_check(clock_ms *since, int fd, clock_ms now);
