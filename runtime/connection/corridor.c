/* SPDX-License-Identifier: MIT
 *
 * The corridor of a connection: the steps before its first exchange, one after the other. Each can be resumed where it
 * waited, and is cancelled by the close. */
#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"

static enum step_result (*const connection_corridor[])(struct connection *) = {
    step_cap,
    step_proxy_header,
    step_enter,
    step_sniff,
};
enum { CONNECTION_CORRIDOR_LENGTH = sizeof connection_corridor / sizeof connection_corridor[0] };

void connection_start(struct connection *connection) {
  for (; connection->step < CONNECTION_CORRIDOR_LENGTH; connection->step++) {
    enum step_result result = connection_corridor[connection->step](connection);
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
