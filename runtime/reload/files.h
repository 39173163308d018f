/* SPDX-License-Identifier: MIT
 *
 * The route files over the API: what became of each, and putting and deleting them. A file is checked first, and then
 * written aside, flushed and renamed, so that nobody ever sees half of it. */
#pragma once

#include "native/native.h"

#include <stddef.h>

struct instance;

/* Appends what became of each file; see native_ops.files. */
void instance_list_files(const struct instance *instance, struct value *list);

/* `name` is letters, digits, "-", "_", ".", ends in ".lua" and does not begin with "." (else 400). Answers with the
 * HTTP status: 200 or 201 when it is live, 422 with the faults when it would not load or a port of it can't be opened
 * (nothing has changed then), 409 when it is not live in spite of that, 500 when it can't be written, 503 when nothing
 * can be loaded. */
void instance_put_file(struct instance *instance, const char *name, const char *text, size_t size,
                       struct native_call *call);

/* 200, 404 when there is none, 500 when it can't be removed. */
void instance_delete_file(struct instance *instance, const char *name, struct native_call *call);

/* Answers the callers that still wait for the loader. When stopping. */
void files_stop(struct instance *instance);
