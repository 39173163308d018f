/* SPDX-License-Identifier: MIT
 *
 * What native.ask() may be asked, by name. */
#pragma once

#include "native/native.h"

struct instance;
struct runtime;

/* See native_ops.ask; `context` is the struct runtime. */
void questions_ask(void *context, const char *question, const struct value *arguments, struct native_call *call);

/* status.c: what is running, since when, on which ports, from which files; without a running instance only what is
 * known of the process. NULL without memory, as the next ones. */
struct value *status_report(const struct runtime *runtime);
struct value *status_of(struct instance *instance);

/* status.c: the part of it that is asked for again and again, whose cost does not grow: { starting =, ready =, draining
 * =, loading = { file =, seconds = } of the start, workers =, stuck = { { number =, seconds =, route =, file =, kernel
 * =, accepted_by = }, … } }. */
struct value *readiness_report(const struct runtime *runtime);
