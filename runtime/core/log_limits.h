/* SPDX-License-Identifier: MIT
 *
 * Limits for lines of the log by a small number, such as a route's, so that one that fails a thousand times a second
 * does not hide the others. */
#pragma once

#include "core/log.h"

/* Zeroed at first. One thread owns it. */
struct log_limits {
  struct log_limit *limits; /* by number; grows as numbers come */
  size_t count;
  struct log_limit rest; /* of numbers that there was no memory for */
};

/* log_limit_pass() of the number's own limit. */
bool log_limits_pass(struct log_limits *limits, unsigned number, clock_ms now, uint64_t *suppressed);

/* The number is another thing's from now on. */
void log_limits_forget(struct log_limits *limits, unsigned number);

void log_limits_deinit(struct log_limits *limits);
