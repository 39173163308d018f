/* SPDX-License-Identifier: MIT
 *
 * Ending a moongate without cutting what is in the middle of something. */
#pragma once

#include "instance/instance.h"

/* What a signal to end comes to (start.c). Nothing new; ends the connections after `ms` (0: at once), then all, as
 * instance_stop() does. Of one that is ready. `by`: what has asked for it, for the log. */
void instance_drain(struct instance *instance, uint64_t ms, const char *by);

/* See native_ops.drain. */
void instance_drain_for(struct instance *instance, int64_t ms, struct native_call *call);

/* Connections that had to be ended. Once the threads have ended. */
size_t instance_count_cut(const struct instance *instance);

/* Answers who has asked for the drain: last thing, once the threads have ended. */
void instance_tell_drained(struct instance *instance);
