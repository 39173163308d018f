/* SPDX-License-Identifier: MIT
 *
 * The labels of the reasons. */
#include "connection/reason.h"

const char *close_reason_label(enum close_reason reason) {
  static const char *const labels[] = {
#define X(name, label, text) [name] = label,
      CLOSE_REASONS(X)
#undef X
  };
  return labels[reason];
}
