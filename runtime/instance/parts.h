/* SPDX-License-Identifier: MIT
 *
 * What an instance can do without for a while: its admin listener, its control socket, its state directory. Traffic
 * flows all the same; the fault is told once, stands in the status until it is over, and the part is tried again by
 * itself, but for the control socket, which may take root's rights that are gone by then. */
#pragma once

#include "core/error.h"
#include "core/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct instance;
struct value;

enum { PART_PAUSE_MS = 250, PART_PAUSE_MOST_MS = 5000 }; /* before it is tried again: at first, and at most */

enum instance_part { PART_ADMIN, PART_CONTROL, PART_STATE, PART_COUNT };

struct part {
  struct instance *instance;
  void (*again)(struct instance *instance); /* tries it once more, and says part_fail() or part_succeed(); NULL: it
                                               can't be yet */
  bool is_at_fault;
  struct error error;
  uint64_t pause_ms;
  struct wheel_timer retry;
};

/* Logs the fault unless it is the one that there is, and has it tried again. */
void part_fail(struct instance *instance, enum instance_part which, const struct error *error);

/* Logs it, if it was at fault. */
void part_succeed(struct instance *instance, enum instance_part which);

/* Nothing is tried any more. */
void parts_stop(struct instance *instance);

/* Appends { field = "admin.listen", message = } for each that is at fault, as faults are. */
void parts_report(const struct instance *instance, struct value *list);
