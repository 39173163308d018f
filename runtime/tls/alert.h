/* SPDX-License-Identifier: MIT
 *
 * Alerts that are sent before there is any key: one record of seven bytes (RFC 8446, sections 5.1 and 6). */
#pragma once

#include <stdint.h>

enum alert_level { ALERT_WARNING = 1, ALERT_FATAL = 2 };

enum alert_description {
  ALERT_UNEXPECTED_MESSAGE = 10,
  ALERT_RECORD_OVERFLOW = 22,
  ALERT_ILLEGAL_PARAMETER = 47,
  ALERT_ACCESS_DENIED = 49,
  ALERT_DECODE_ERROR = 50,
  ALERT_PROTOCOL_VERSION = 70,
  ALERT_INTERNAL_ERROR = 80,
  ALERT_UNRECOGNIZED_NAME = 112, /* RFC 6066, section 3 */
};

enum { ALERT_RECORD_SIZE = 7 };

/* Fills `record`. Its version is TLS 1.2's, as every client takes it. */
void alert_record(uint8_t record[ALERT_RECORD_SIZE], enum alert_level level, enum alert_description description);
