DROP TABLE contact_sessions;

DROP TABLE chats;

DROP TABLE contacts;
