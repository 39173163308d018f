/* SPDX-License-Identifier: MIT
 *
 * The bytes of an alert. */
#include "tls/alert.h"

void alert_record(uint8_t record[ALERT_RECORD_SIZE], enum alert_level level, enum alert_description description) {
  enum { TYPE_ALERT = 21, VERSION_MAJOR = 3, VERSION_MINOR = 3, LENGTH = 2 };
  record[0] = TYPE_ALERT;
  record[1] = VERSION_MAJOR;
  record[2] = VERSION_MINOR;
  record[3] = 0;
  record[4] = LENGTH;
  record[5] = (uint8_t)level;
  record[6] = (uint8_t)description;
}
