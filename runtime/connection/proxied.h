/* SPDX-License-Identifier: MIT
 *
 * What a PROXY header said, as far as it is kept with its connection: for functions that ask, and for the header that
 * goes on to the next hop. The client's address is the connection's own. */
#pragma once

#include "net/address.h"

#include <stddef.h>
#include <stdint.h>

/* One piece of the heap, its owner's to free(). */
struct proxied {
  struct ip_address hop;         /* who sent the header */
  struct ip_address destination; /* what the client had connected to; not set: the header did not say */
  size_t tlvs_size;
  uint8_t tlvs[]; /* as they came (net/proxy_protocol.h walks them) */
};
