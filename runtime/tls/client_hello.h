/* SPDX-License-Identifier: MIT
 *
 * Reads a ClientHello (RFC 8446, sections 4.1.2 and 5.1; RFC 5246, section 7.4.1.2) for what a route is chosen by, from
 * bytes in whatever pieces and records they come: each byte is looked at once, and nothing is allocated. It keeps no
 * bytes; who feeds it does. What only an end of TLS can judge (cipher suites, key shares, …) is passed over. */
#pragma once

#include "tls/alert.h"
#include "tls/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  CLIENT_HELLO_MAX = 64 * 1024, /* bytes of the handshake message, without the headers of records */
  SERVER_NAME_MAX = 255,
  CLIENT_HELLO_ALPN_SIZE = 256,
};

enum client_hello_status {
  CLIENT_HELLO_MORE,     /* feed what comes next */
  CLIENT_HELLO_COMPLETE, /* the results are there; what follows was not looked at */
  CLIENT_HELLO_REFUSED,  /* `fault` says why */
};

/* Why a hello is refused, the alert that the RFCs answer with (0: none, it is no TLS), and words for the log. */
#define CLIENT_HELLO_FAULTS(X)                                                                                         \
  X(HELLO_FINE, 0, "nothing is wrong")                                                                                 \
  X(HELLO_PLAIN_HTTP, 0, "a plain HTTP request")                                                                       \
  X(HELLO_NOT_TLS, ALERT_UNEXPECTED_MESSAGE, "neither TLS nor HTTP")                                                   \
  X(HELLO_SSL_2, ALERT_PROTOCOL_VERSION, "a hello of SSL 2.0")                                                         \
  X(HELLO_SSL_3, ALERT_PROTOCOL_VERSION, "a hello of SSL 3.0 or older")                                                \
  X(HELLO_RECORD_VERSION, ALERT_PROTOCOL_VERSION, "a record of an unknown version")                                    \
  X(HELLO_RECORD_TYPE, ALERT_UNEXPECTED_MESSAGE, "another type of record within the hello")                            \
  X(HELLO_RECORD_EMPTY, ALERT_UNEXPECTED_MESSAGE, "a record of no bytes")                                              \
  X(HELLO_RECORD_TOO_LONG, ALERT_RECORD_OVERFLOW, "a record of more than 16384 bytes")                                 \
  X(HELLO_OTHER_MESSAGE, ALERT_UNEXPECTED_MESSAGE, "another handshake message than a ClientHello")                     \
  X(HELLO_TOO_LARGE, ALERT_ILLEGAL_PARAMETER, "a hello of more than 65536 bytes")                                      \
  X(HELLO_LENGTH, ALERT_DECODE_ERROR, "a length that does not fit")                                                    \
  X(HELLO_DUPLICATE, ALERT_ILLEGAL_PARAMETER, "an extension that stands there twice")                                  \
  X(HELLO_TWO_NAMES, ALERT_ILLEGAL_PARAMETER, "two host names in server_name")                                         \
  X(HELLO_BAD_NAME, ALERT_UNRECOGNIZED_NAME, "a server_name that is no host name")

enum client_hello_fault {
#define X(name, alert, text) name,
  CLIENT_HELLO_FAULTS(X)
#undef X
};

enum alert_description client_hello_alert(enum client_hello_fault fault);
const char *client_hello_text(enum client_hello_fault fault);

struct client_hello {
  /* Results, once COMPLETE. */
  enum client_hello_fault fault;
  unsigned versions;    /* those of supported_versions that are ours (unknown and GREASE ones left out);
                           without that extension the one of legacy_version alone, the highest offered */
  bool has_server_name; /* false: none, or an address, which RFC 6066 forbids and servers pass over */
  bool has_ech;         /* encrypted_client_hello is there: the name is that of the outer hello */
  char server_name[SERVER_NAME_MAX + 1]; /* lower case, without a trailing dot; letters, digits, "-", "_", "." only */
  uint8_t alpn[CLIENT_HELLO_ALPN_SIZE];  /* the protocols that are offered, each behind its length (RFC 7301); those
                                            that do not fit are left out */
  size_t alpn_size;

  /* How far it has come. */
  enum client_hello_status status;
  uint8_t header[8];    /* of the record; at the very start, bytes that may be no TLS */
  uint8_t header_size;  /* of it, what is there */
  bool is_tls;          /* the first record's header was one */
  uint8_t field;        /* what is being read */
  uint8_t width;        /* bytes left of the number that is being read; 0: it is a run of bytes */
  bool in_extension;    /* `extension_left` counts */
  uint32_t number;      /* as far as it has been read */
  uint32_t run;         /* bytes left of the run */
  uint32_t record_left; /* of its fragment */
  uint32_t message_left;
  uint32_t extension_left;
  uint32_t name_size;
  uint16_t extension; /* its type */
  uint64_t seen;      /* extensions, by their number below 63; bit 63: encrypted_client_hello */
};

void client_hello_init(struct client_hello *hello);

/* Reads the next bytes. Where and how they are cut makes no difference: a fault is told at the same byte, and so is
 * the end. After an end nothing is read any more. */
enum client_hello_status client_hello_feed(struct client_hello *hello, const void *bytes, size_t size);

/* Of one that was fed something and is not COMPLETE: its first byte is not that of a record of the handshake, nor does
 * it turn out as a hello of SSL 2.0. */
bool client_hello_is_plain(const struct client_hello *hello);
