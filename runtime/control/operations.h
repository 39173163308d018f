/* SPDX-License-Identifier: MIT
 *
 * What "moongate.native" does: the table of functions that the Lua side is handed. Their context is the struct runtime.
 */
#pragma once

#include "native/native.h"

struct fault_list;
struct runtime;

extern const struct native_ops operations;

/* Of an instance. */
struct instance;
struct value *status_of(struct instance *instance);

/* native.status(): without a running instance only what is known of the process. NULL without memory. */
struct value *status_report(const struct runtime *runtime);

/* native.readiness(). NULL without memory. */
struct value *readiness_report(const struct runtime *runtime);

/* native.metrics(). NULL without memory. */
struct value *commons_report(const struct runtime *runtime);

/* The same, for one that stands nowhere else. */
void report_fault(struct value *list, const char *file, int line, const char *route, const char *field,
                  const char *message);

/* Appends { file =, line =, route =, field =, message = } to `list` for each fault: those of one file (NULL: of all).
 */
void report_faults(struct value *list, const struct fault_list *faults, const char *file);
