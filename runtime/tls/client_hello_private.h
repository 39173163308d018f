/* SPDX-License-Identifier: MIT
 *
 * What the two files that read a ClientHello share: its fields, and the ways from one to the next. */
#pragma once

#include "tls/client_hello.h"

enum { VERSION_SSL_3 = 0x0300 };

/* Numbers and runs, in the order of the message; those of extensions from FIELD_EXTENSION_TYPE on. */
enum field {
  FIELD_TYPE,
  FIELD_LENGTH,
  FIELD_VERSION,
  FIELD_RANDOM,
  FIELD_SESSION_LENGTH,
  FIELD_SESSION,
  FIELD_SUITES_LENGTH,
  FIELD_SUITES,
  FIELD_COMPRESSION_LENGTH,
  FIELD_COMPRESSION,
  FIELD_EXTENSIONS_LENGTH,
  FIELD_EXTENSION_TYPE,
  FIELD_EXTENSION_LENGTH,
  FIELD_EXTENSION,
  FIELD_NAMES_LENGTH,
  FIELD_NAME_TYPE,
  FIELD_NAME_LENGTH,
  FIELD_NAME,
  FIELD_OTHER_NAME_LENGTH,
  FIELD_OTHER_NAME,
  FIELD_VERSIONS_LENGTH,
  FIELD_ONE_VERSION,
  FIELD_ALPN_LENGTH,
  FIELD_PROTOCOL_LENGTH,
  FIELD_PROTOCOL,
};

/* client_hello.c */

void client_hello_refuse(struct client_hello *hello, enum client_hello_fault fault);

/* The next bytes are a number, or a run of `size` bytes (which may be over at once). Refuses the hello when the lengths
 * around have no room for it. */
void client_hello_begin_number(struct client_hello *hello, enum field field, uint8_t width);
void client_hello_begin_run(struct client_hello *hello, enum field field, uint32_t size);

/* client_hello_extensions.c */

/* An extension begins, or the hello is complete. */
void client_hello_next_extension(struct client_hello *hello);

/* A number, or a run, has ended whose field is FIELD_EXTENSION_TYPE or one behind it. */
void client_hello_finish_extension_number(struct client_hello *hello);
void client_hello_finish_extension_run(struct client_hello *hello);

/* Bytes of a run, some of which are kept. */
void client_hello_keep_run(struct client_hello *hello, const uint8_t *bytes, size_t size);

/* Of the `versions` of a hello; 0: it is none of ours. */
unsigned client_hello_version_bit(uint32_t version);
