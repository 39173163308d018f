/* SPDX-License-Identifier: MIT
 *
 * What the files of reload/files.h share. */
#pragma once

#include "native/native.h"

#include <stddef.h>

struct instance;

/* {status, generation, message, faults = {}}. */
struct value *files_answer(int status, const struct instance *instance, const char *message);

/* Writes the file, or removes it, on the loader thread, and has what is then in the directory taken up; `call` is
 * answered. Takes over `text`. A disk that does not answer is waited for as a load is. */
void files_write(struct instance *instance, const char *name, char *text, size_t size, struct native_call *call);
void files_remove(struct instance *instance, const char *name, struct native_call *call);

/* Answers the callers. */
void files_change_stop(struct instance *instance);
