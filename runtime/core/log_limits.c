/* SPDX-License-Identifier: MIT
 *
 * A growing array of limits. */
#include "core/log_limits.h"

#include <stdlib.h>
#include <string.h>

static struct log_limit *log_limits_find(struct log_limits *limits, unsigned number) {
  if (number < limits->count)
    return &limits->limits[number];
  size_t count = number + (size_t)number / 2 + 16;
  struct log_limit *grown = realloc(limits->limits, count * sizeof *grown);
  if (!grown)
    return &limits->rest;
  memset(grown + limits->count, 0, (count - limits->count) * sizeof *grown);
  limits->limits = grown;
  limits->count = count;
  return &grown[number];
}

bool log_limits_pass(struct log_limits *limits, unsigned number, clock_ms now, uint64_t *suppressed) {
  return log_limit_pass(log_limits_find(limits, number), now, suppressed);
}

void log_limits_forget(struct log_limits *limits, unsigned number) {
  if (number < limits->count)
    memset(&limits->limits[number], 0, sizeof limits->limits[number]);
}

void log_limits_deinit(struct log_limits *limits) {
  free(limits->limits);
  *limits = (struct log_limits){0};
}
