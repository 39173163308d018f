/* SPDX-License-Identifier: MIT
 *
 * What native.ask() may be asked, by name. */
#pragma once

#include "native/native.h"

struct instance;

/* `arguments` are valid during the call only. Answers { error =, status = } where it can't be asked. */
void questions_ask(struct instance *instance, const char *question, const struct value *arguments,
                   struct native_call *call);
