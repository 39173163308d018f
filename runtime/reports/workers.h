/* SPDX-License-Identifier: MIT
 *
 * One worker as a whole: what it holds, and how late it is, since it has come to the message that asks only then. */
#pragma once

#include "script/record.h"
#include "threads/ask.h"

struct instance;

struct worker_brief {
  double lag; /* seconds from asking to being answered */
  uint64_t connections, connecting, accepted;
  uint64_t script_memory, script_states;
  unsigned pipes, pipes_limit; /* of the kernel, for splicing */
};

extern const struct record_type worker_brief_record;

/* On the worker's thread, in the first stretch. */
void worker_brief_take(struct worker_brief *brief, const struct ask_part *part);

/* The question "workers": { complete =, workers = { { number =, answered =, …, and the brief's } } }. */
void workers_ask(struct instance *instance, const struct value *arguments, struct native_call *call);
