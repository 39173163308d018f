/* SPDX-License-Identifier: MIT
 *
 * What is done with options of any kind, but for reading them, which is Lua's side. */
#include "routing/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All that a field may be. */
union option_value {
  bool boolean;
  int integer;
  unsigned number;
  uint64_t wide;
  char *text;
  struct {
    char **list;
    size_t count;
  } texts;
  struct ip_set *ip_set;
  struct address_limit limit;
  struct route_keep_alive keep_alive;
  struct route_proxy_send proxy_send;
};

static size_t option_size(const struct option *option) {
  static const size_t sizes[] = {
      [OPTION_BOOLEAN] = sizeof(bool),
      [OPTION_INTEGER] = sizeof(int),
      [OPTION_UNSIGNED] = sizeof(unsigned),
      [OPTION_WIDE] = sizeof(uint64_t),
      [OPTION_WORD] = sizeof(unsigned),
      [OPTION_SLOT] = sizeof(int),
      [OPTION_TEXT] = sizeof(char *),
      [OPTION_TEXTS] = sizeof(char **) + sizeof(size_t),
      [OPTION_IP_SET] = sizeof(struct ip_set *),
      [OPTION_LIMIT] = sizeof(struct address_limit),
      [OPTION_KEEP_ALIVE] = sizeof(struct route_keep_alive),
      [OPTION_PROXY_SEND] = sizeof(struct route_proxy_send),
  };
  return sizes[option->kind];
}

static union option_value value_in(const struct option *option, const void *record) {
  union option_value value = {.wide = 0};
  memcpy(&value, (const char *)record + option->offset, option_size(option));
  return value;
}

void options_clear(const struct options *options, void *record) {
  for (size_t i = 0; i < options->count; i++) {
    const struct option *option = &options->options[i];
    union option_value value = value_in(option, record);
    if (option->kind == OPTION_TEXT)
      free(value.text);
    else if (option->kind == OPTION_IP_SET)
      ip_set_unref(value.ip_set);
    else if (option->kind == OPTION_PROXY_SEND)
      free(value.proxy_send.tlvs);
    for (size_t k = 0; option->kind == OPTION_TEXTS && k < value.texts.count; k++)
      free(value.texts.list[k]);
    if (option->kind == OPTION_TEXTS)
      free(value.texts.list);
  }
}

void options_swap(const struct options *options, void *record, void *other) {
  for (size_t i = 0; i < options->count; i++) {
    const struct option *option = &options->options[i];
    if (option->waits)
      continue;
    union option_value kept = value_in(option, record);
    memcpy((char *)record + option->offset, (char *)other + option->offset, option_size(option));
    memcpy((char *)other + option->offset, &kept, option_size(option));
  }
}

bool options_have_function(const struct options *options, const void *record) {
  for (size_t i = 0; i < options->count; i++) {
    const struct option *option = &options->options[i];
    union option_value value = value_in(option, record);
    if ((option->kind == OPTION_SLOT && value.integer != ROUTE_NO_FUNCTION) ||
        (option->kind == OPTION_KEEP_ALIVE && value.keep_alive.function != ROUTE_NO_FUNCTION))
      return true;
  }
  return false;
}

bool option_equal(const struct option *option, const void *a, const void *b) {
  union option_value x = value_in(option, a), y = value_in(option, b);
  if (option->kind == OPTION_TEXT)
    return x.text == y.text || (x.text && y.text && strcmp(x.text, y.text) == 0);
  return memcmp(&x, &y, option_size(option)) == 0;
}

void option_format(const struct option *option, const void *record, char *text, size_t size) {
  union option_value value = value_in(option, record);
  if (option->kind == OPTION_TEXT)
    snprintf(text, size, "%s", value.text ? value.text : "");
  else if (option->kind == OPTION_WORD)
    snprintf(text, size, "%s", option->words[value.number]);
  else if (option->kind == OPTION_BOOLEAN)
    snprintf(text, size, "%s", value.boolean ? "true" : "false");
  else if (option->kind == OPTION_INTEGER)
    snprintf(text, size, "%d", value.integer);
  else
    snprintf(text, size, "%llu", (unsigned long long)(option->kind == OPTION_WIDE ? value.wide : value.number));
}
