DROP TABLE limiter_log;
