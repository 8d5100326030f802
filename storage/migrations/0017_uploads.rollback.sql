DROP INDEX messages_upload;

DROP TABLE uploads;
