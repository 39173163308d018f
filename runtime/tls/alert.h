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
static inline void alert_record(uint8_t record[ALERT_RECORD_SIZE], enum alert_level level,
                                enum alert_description description) {
  enum { TYPE_ALERT = 21, VERSION_MAJOR = 3, VERSION_MINOR = 3, LENGTH = 2 };
  record[0] = TYPE_ALERT;
  record[1] = VERSION_MAJOR;
  record[2] = VERSION_MINOR;
  record[3] = 0;
  record[4] = LENGTH;
  record[5] = (uint8_t)level;
  record[6] = (uint8_t)description;
}
