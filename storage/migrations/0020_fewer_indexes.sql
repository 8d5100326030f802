-- depends: 0019_webhooks
-- Each move of a message wrote all of these, and nothing asks by them that another index does not
-- answer as well: messages_ready what is accepted, messages_blocking what is on its way. Nothing at
-- all asks by direction and state.
DROP INDEX messages_outbox;

DROP INDEX messages_sending;

DROP INDEX messages_state;
