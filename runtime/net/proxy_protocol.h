/* SPDX-License-Identifier: MIT
 *
 * The PROXY protocol's headers, versions 1 and 2, read and written (HAProxy's "The PROXY protocol", proxy-protocol.txt;
 * the sections named here are its own). Bytes in, a header out, and the other way round: whose headers are believed,
 * how long one is waited for and what becomes of the connection is decided elsewhere. */
#pragma once

#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  PROXY_V1_MOST = 107,    /* bytes of a header of version 1, with its CRLF (section 2.1) */
  PROXY_V1_ROOM = 128,    /* bytes that proxy_v1_write() is given: the above, its NUL, and some */
  PROXY_V2_FIXED = 16,    /* bytes before the addresses of version 2 (section 2.2) */
  PROXY_TLV_HEAD = 3,     /* of each TLV: its type and its size */
  PROXY_TLVS_MOST = 4096, /* bytes of addresses and TLVs that are taken in a header of version 2 */
  PROXY_MOST = PROXY_V2_FIXED + PROXY_TLVS_MOST,
};

/* Types of TLVs (section 2.2.1 and after). */
enum {
  PROXY_TLV_ALPN = 0x01,
  PROXY_TLV_AUTHORITY = 0x02, /* the server name */
  PROXY_TLV_CRC32C = 0x03,
  PROXY_TLV_NOOP = 0x04,
  PROXY_TLV_UNIQUE_ID = 0x05,
  PROXY_TLV_SSL = 0x20, /* one byte of PROXY_SSL_ flags, four of verification's result, TLVs of its own */
  PROXY_TLV_SSL_VERSION = 0x21,
  PROXY_TLV_SSL_CN = 0x22,
  PROXY_TLV_SSL_CIPHER = 0x23,
  PROXY_TLV_NETNS = 0x30,
  PROXY_TLV_AWS = 0xEA,
};

struct proxy_header {
  unsigned version;              /* 1 or 2 */
  bool has_addresses;            /* false: LOCAL, UNKNOWN, or a family that names no IP address: the hop's own count */
  struct ip_address source;      /* the client, with its port */
  struct ip_address destination; /* what the client connected to */
  const uint8_t *tlvs;           /* inside the bytes that were parsed; NULL: none */
  size_t tlvs_size;
};

/* What proxy_header_parse() says besides a size. */
enum {
  PROXY_MORE = 0,        /* so far it is the beginning of a header */
  PROXY_ABSENT = -1,     /* this is no header: neither signature */
  PROXY_MALFORMED = -2,  /* a signature, and then not what the protocol says */
  PROXY_TOO_LONG = -3,   /* more than PROXY_V1_MOST or PROXY_TLVS_MOST bytes */
  PROXY_BAD_CRC32C = -4, /* its checksum is another */
};

/* Reads a header from the beginning of `bytes`. Returns its size, or one of the above. Never reads beyond the header,
 * and asks for more only as long as what is there can still become one. */
ssize_t proxy_header_parse(const uint8_t *bytes, size_t size, struct proxy_header *header);

struct proxy_tlv {
  uint8_t type;
  uint16_t size;
  const uint8_t *value;
};

/* Walks the TLVs of a header that was parsed: begin with *at = 0; false when there is none left. */
bool proxy_tlv_next(const uint8_t *tlvs, size_t size, size_t *at, struct proxy_tlv *tlv);

/* Writes a header of version 1 ("UNKNOWN" when the addresses are not IP ones, or of two families that can't be said as
 * one). Returns its size. */
size_t proxy_v1_write(char bytes[PROXY_V1_ROOM], const struct ip_address *source, const struct ip_address *destination);

/* A header of version 2 that is being written. */
struct proxy_writer {
  uint8_t *bytes;
  size_t room, size; /* size > room: it did not fit */
};

/* Begins a header of version 2 in `bytes`: PROXY with both addresses, or LOCAL when one is not set. */
void proxy_v2_begin(struct proxy_writer *writer, uint8_t *bytes, size_t room, const struct ip_address *source,
                    const struct ip_address *destination);
void proxy_v2_add(struct proxy_writer *writer, uint8_t type, const void *value, size_t size);

/* TLVs that are written already, one after the other. */
void proxy_v2_put(struct proxy_writer *writer, const uint8_t *tlvs, size_t size);

/* Fills in the length. Returns the header's size, or 0 when it did not fit into the room or into 16 bits. */
size_t proxy_v2_end(struct proxy_writer *writer);
