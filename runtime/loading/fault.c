/* SPDX-License-Identifier: MIT
 *
 * Lists of faults, and how one reads. */
#include "loading/load_private.h"
#include "script/value.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fault_clear(struct fault *fault) {
  free(fault->file);
  free(fault->route);
  free(fault->field);
  free(fault->message);
}

void fault_list_clear(struct fault_list *list) {
  for (size_t i = 0; i < list->count; i++)
    fault_clear(&list->faults[i]);
  free(list->faults);
  *list = (struct fault_list){0};
}

static char *fault_copy_text(const char *text) { return strdup(text ? text : ""); }

int fault_make(struct fault *fault, const char *file, int line, const char *route, const char *field,
               const char *message) {
  *fault = (struct fault){.file = fault_copy_text(file),
                          .line = line,
                          .route = fault_copy_text(route),
                          .field = fault_copy_text(field),
                          .message = fault_copy_text(message)};
  if (fault->file && fault->route && fault->field && fault->message)
    return 0;
  fault_clear(fault);
  return -ENOMEM;
}

int fault_list_add(struct fault_list *list, const char *file, int line, const char *route, const char *field,
                   const char *message) {
  if (list->count == list->room) {
    size_t room = list->room ? 2 * list->room : 4;
    struct fault *faults = realloc(list->faults, room * sizeof *faults);
    if (!faults)
      return -ENOMEM;
    list->faults = faults;
    list->room = room;
  }
  int status = fault_make(&list->faults[list->count], file, line, route, field, message);
  list->count += status == 0;
  return status;
}

int fault_list_append(struct fault_list *list, const struct fault_list *more) {
  int status = 0;
  for (size_t i = 0; i < more->count && status == 0; i++) {
    const struct fault *fault = &more->faults[i];
    status = fault_list_add(list, fault->file, fault->line, fault->route, fault->field, fault->message);
  }
  return status;
}

void fault_list_add_from(struct fault_list *list, const char *file, lua_State *L, int index) {
  size_t count = lua_objlen(L, index);
  for (size_t i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (int)i);
    lua_getfield(L, -1, "line");
    lua_getfield(L, -2, "route");
    lua_getfield(L, -3, "field");
    lua_getfield(L, -4, "message"); /* [fault, line, route, field, message] */
    int status = fault_list_add(list, file, (int)lua_tointeger(L, -4), lua_tostring(L, -3), lua_tostring(L, -2),
                                lua_tostring(L, -1));
    if (status < 0)
      luaL_error(L, "not enough memory");
    lua_pop(L, 5);
  }
}

/* Appends to `text`, cutting what does not fit. */
__attribute__((format(printf, 4, 5))) static void append(char *text, size_t size, size_t *length, const char *format,
                                                         ...) {
  va_list arguments;
  va_start(arguments, format);
  int wanted = vsnprintf(text + *length, size - *length, format, arguments);
  va_end(arguments);
  if (wanted > 0)
    *length = *length + (size_t)wanted < size ? *length + (size_t)wanted : size - 1;
}

void fault_format(const struct fault *fault, char *text, size_t size) {
  size_t length = 0;
  if (size == 0)
    return;
  text[0] = '\0';
  if (fault->file[0] && fault->line > 0)
    append(text, size, &length, "%s:%d: ", fault->file, fault->line);
  else if (fault->file[0])
    append(text, size, &length, "%s: ", fault->file);
  if (fault->route[0])
    append(text, size, &length, "route \"%s\": ", fault->route);
  if (fault->field[0])
    append(text, size, &length, "%s: ", fault->field);
  append(text, size, &length, "%s", fault->message);
}

void report_fault(struct value *list, const char *file, int line, const char *route, const char *field,
                  const char *message) {
  struct value *entry = value_set_table(list, NULL);
  value_set_string(entry, "file", file && *file ? file : NULL);
  if (line > 0)
    value_set_number(entry, "line", line);
  value_set_string(entry, "route", route && *route ? route : NULL);
  value_set_string(entry, "field", field && *field ? field : NULL);
  value_set_string(entry, "message", message);
}

void report_faults(struct value *list, const struct fault_list *faults, const char *file) {
  for (size_t i = 0; i < faults->count; i++) {
    const struct fault *fault = &faults->faults[i];
    if (file && strcmp(fault->file, file) != 0)
      continue;
    report_fault(list, fault->file, fault->line, fault->route, fault->field, fault->message);
  }
}
