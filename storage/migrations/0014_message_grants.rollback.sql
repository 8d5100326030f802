DROP TABLE sending_numbers;
DROP TABLE message_grants;
