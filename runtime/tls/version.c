/* SPDX-License-Identifier: MIT
 *
 * Sets of versions. */
#include "tls/version.h"

#include <stddef.h>
#include <string.h>

unsigned tls_version_highest(unsigned versions) {
  for (unsigned bit = TLS_1_3; bit; bit >>= 1)
    if (versions & bit)
      return bit;
  return 0;
}

const char *tls_version_label(unsigned versions) {
  switch (tls_version_highest(versions)) {
  case TLS_1_3:
    return "1.3";
  case TLS_1_2:
    return "1.2";
  case TLS_1_1:
    return "1.1";
  case TLS_1_0:
    return "1.0";
  default:
    return NULL;
  }
}

unsigned tls_version_from_label(const char *label) {
  for (unsigned bit = TLS_1_0; bit <= TLS_1_3; bit <<= 1)
    if (strcmp(label, tls_version_label(bit)) == 0)
      return bit;
  return 0;
}
