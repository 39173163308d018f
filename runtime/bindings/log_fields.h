/* SPDX-License-Identifier: MIT
 *
 * What a script says beside a message of moongate.log, as fields of its line: in the order of their names, each with
 * its value as people write it. */
#pragma once

#include "core/log.h"

#include <lua.h>

enum { LOG_FIELDS_MOST = 16, LOG_FIELD_KEY_SIZE = 32 };

struct log_fields {
  struct log_field fields[LOG_FIELDS_MOST];
  char keys[LOG_FIELDS_MOST][LOG_FIELD_KEY_SIZE];
  size_t count;
};

/* Fills `fields` with those of the table at `index`, an absolute one. Texts that have to be made stay on the stack, and
 * so alive. Raises what a value's __tostring raises. */
void log_fields_read(lua_State *L, int index, struct log_fields *fields);
