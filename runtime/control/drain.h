/* SPDX-License-Identifier: MIT
 *
 * Ending a moongate without cutting what is in the middle of something. */
#pragma once

#include "instance/instance.h"

/* See native_ops.drain. */
void instance_drain_for(struct instance *instance, int64_t ms, struct native_call *call);

/* Connections that had to be ended. Once the threads have ended. */
size_t instance_count_cut(const struct instance *instance);

/* Answers who has asked for the drain: last thing, once the threads have ended. */
void instance_tell_drained(struct instance *instance);
