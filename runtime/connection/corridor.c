/* SPDX-License-Identifier: MIT
 *
 * The corridor of a connection: the steps before its first exchange, one after the other. Each can be resumed where it
 * waited, and is cancelled by the close. */
#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"

const struct connection_step connection_corridor[] = {
    {"cap", step_cap, STEP_GATE},     {"proxy_header", step_proxy_header, STEP_SAID},
    {"enter", step_enter, STEP_GATE}, {"sniff", step_sniff, STEP_TRIED},
    {NULL, NULL, STEP_LAST},
};

void connection_start(struct connection *connection) {
  for (; connection_corridor[connection->step].run; connection->step++) {
    enum step_result result = connection_corridor[connection->step].run(connection);
    if (result == STEP_REFUSED || result == STEP_GONE)
      return;
    if (result == STEP_WAIT) {
      exchange_arm_timer(&connection->first);
      return;
    }
  }
  exchange_start(&connection->first);
}

void connection_resume(struct connection *connection) {
  if (connection->state < CONNECTION_CLOSING)
    connection_start(connection);
}
