DROP TABLE media_downloads;

DROP TABLE poll_votes;

DROP TABLE reactions;
