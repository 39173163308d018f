/* SPDX-License-Identifier: MIT
 *
 * The table of questions. What they answer is Lua's to filter further, to sort, to word (lua/moongate/questions/). */
#include "reports/questions.h"

#include "instance/instance.h"
#include "reports/connections.h"

#include <string.h>

static const struct {
  const char *name;
  void (*ask)(struct instance *instance, const struct value *arguments, struct native_call *call);
} questions[] = {
    {"connections", connections_ask},
    {"kill", connections_ask_kill},
};

void questions_ask(struct instance *instance, const char *question, const struct value *arguments,
                   struct native_call *call) {
  if (!instance || instance->threads.ended > 0 || instance->phase == INSTANCE_STARTING) {
    ask_refuse(call, 503, "moongate is starting or stopping");
    return;
  }
  for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
    if (strcmp(questions[i].name, question) == 0) {
      questions[i].ask(instance, arguments, call);
      return;
    }
  ask_refuse(call, 404, "there is no such question");
}
